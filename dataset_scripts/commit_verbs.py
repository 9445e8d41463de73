"""Verbs that a commit's subject starts with when it reads like an instruction. Our own list, grouped by what they do.

OctoPack (arXiv 2308.07124) asks for one of 257 imperatives and prints some of them; the list is a choice, so ours is
written down here. Leave out what is more often a noun or an adjective at that place ("release", "final", "version").
"""

_GROUPS = """
make:       add append assemble build code compose construct craft create declare define derive design develop
            draft establish generate give grant implement instantiate introduce invent make produce provide
            scaffold seed spawn start supply synthesize write
remove:     ban clear cut delete deprecate discard dismiss drop eliminate erase evict exclude expel flush forbid forget
            nuke omit phase-out prevent prohibit prune purge remove retire revoke scrap strip suppress trim unset wipe
mend:       address amend avoid catch close correct cure debug defuse fix guard handle heal patch prevent protect
            recover rectify remedy repair rescue resolve restore retry sanitize satisfy settle silence solve
            stabilize
change:     adapt adjust alter augment calibrate change convert customize edit modify morph mutate override reset
            revise rework set shift swap switch transform tune turn tweak update vary
improve:    accelerate beautify boost clarify clean cleanup clean-up compact enhance enrich fine-tune harden improve
            optimize polish prettify refine reinforce sharpen simplify smooth speed speed-up streamline strengthen tidy
            tighten
reorder:    align arrange collapse consolidate decouple decompose deduplicate disentangle distribute divide extract
            factor flatten generalize group inline isolate join merge modularize move nest normalize order organize
            partition pull push rearrange reassign rebase redesign refactor regroup relocate rename reorder reorganize
            reposition restructure rewrite rotate separate sort split standardize transfer unify untangle wrap
compare:    assert assume check compare confirm ensure enforce expect guarantee inspect lint measure profile
            benchmark sanity-check test validate verify
grow:       allow bump deepen double enable enlarge escalate expand extend fill grow increase increment lengthen
            loosen maximize multiply permit pad raise relax scale support unlock upgrade widen
shrink:     compress cap decrease decrement downgrade ease limit lower minify minimize narrow reduce restrict shorten
            shrink squash throttle truncate
use:        adopt apply call cast choose consume default delegate employ exploit favor favour follow honor honour
            invoke leverage obey opt pick prefer reference require respect reuse select specify stick take use utilize
connect:    attach bind bundle combine connect depend detach disconnect embed forward hook import include inherit
            inject insert integrate interpolate link map mount pass pipe plug point prepend put redirect register
            relay route subscribe unbind unregister wire
show:       alert announce annotate comment complain describe display document emit explain expose hide highlight
            indicate label list log mark mention note notify outline output present print quote render report return
            reveal show sketch surface tag translate underline warn
values:     assign bind cache calculate clamp clone coerce compute concatenate copy count decode decrypt deserialize
            duplicate encode encrypt escape evaluate expire fetch filter find format freeze get hash hard-code hardcode
            index infer initialize iterate load lock look memoize parse populate preload query quantize read record
            replace replicate revert rollback roll-back round save search serialize sign skip store strip substitute
            subtract sync synchronize toggle track treat unescape unpack unwrap upload validate yield
control:    abort accept activate archive automate await block break bring bypass cancel compile configure
            continue deactivate defer delay deploy disable disallow dispatch dispose download end execute exit export
            fail fall fallback finish fire force go halt hold ignore install keep kill launch leave let listen
            maintain manage mock monitor open package pause pin ping poll port postpone prepare preserve process
            propagate publish queue quit raise re-add re-enable receive reconfigure redo refresh reject reload
            replace request resume retain run schedule send serve set-up setup ship shut sleep stop stub submit
            suspend terminate throw trigger try undo uninstall unload unmount wait watch
"""
_TWO_WORDS = frozenset({
    "back out", "bring back", "clean up", "cut down", "deal with", "fall back", "fill in", "get rid", "look up",
    "opt in", "opt out", "phase out", "rip out", "roll back", "set up", "shut down", "speed up", "take care",
    "turn off", "turn on", "work around",
})  # fmt: skip
IMPERATIVE_VERBS = frozenset(word for word in _GROUPS.split() if not word.endswith(":")) | _TWO_WORDS
