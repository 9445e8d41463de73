def judge(job, backend):
    raise NotImplementedError
