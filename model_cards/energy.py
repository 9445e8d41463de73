"""Energy of a run: devices x hours x watts x PUE, each factor with where it is from; or why there is no estimate.

reads   nothing: a run's record is handed in; writes nothing

Watts are the device's power limit (TDP), which training often does not reach, unless somebody measured them. A factor
that nobody knows is never guessed: then there is no estimate.
"""

from typing import Any

# Power limit of a device in watts, by a part of the name that torch reports; NVIDIA's data sheets of each product. The
# first that fits is taken, so the longer name stands before the shorter.
TDP_WATTS = {
    "A100-SXM4": 400,
    "A100-PCIE-40GB": 250,
    "A100 80GB PCIe": 300,
    "H100 80GB HBM3": 700,
    "H100 PCIe": 350,
    "H200 NVL": 600,
    "H200": 700,
    "RTX 4090": 450,
}


def tdp_watts(name: str) -> int | None:
    """The power limit of a device by the name that torch gives it, None for one that is not in the table.

    >>> tdp_watts("NVIDIA A100-SXM4-80GB"), tdp_watts("NVIDIA H200 NVL"), tdp_watts("x86_64")
    (400, 600, None)
    """
    return next((watts for part, watts in TDP_WATTS.items() if part in name), None)


def hours(run: dict[str, Any]) -> float:
    """Hours of the whole run. A record times the last sitting only; a resumed run is scaled up by its steps."""
    done_before = run.get("resumed_from_step") or 0
    return run["seconds"] / 3600 / (1 - done_before / run["steps"])


def estimate(run: dict[str, Any], measured_watts: float | None = None, pue: float | None = None) -> dict[str, Any]:
    """The estimate, or `{"why_not": ...}`.

    Args:
        run: a run's record (run.json).
        measured_watts: of one device, by whoever measured it; None for the table.
        pue: power usage effectiveness of the machine room; None for 1, the devices alone.

    Returns:
        `kwh` and its factors `devices`, `device`, `hours`, `watts`, `pue`, with `watts_source` and `hours_source`.
    """
    hardware = run.get("hardware")
    if not hardware:
        return {"why_not": "the run's record says nothing of its hardware"}
    if run.get("resumed_from_step") == run["steps"]:
        return {"why_not": "the run was resumed after its last step, and its record times the last sitting only"}
    on_cpu = run["settings"].get("use_cpu", not hardware["gpus"])
    device = f"machine with {hardware['cores']} cores ({hardware['cpu']})" if on_cpu else hardware["gpus"][0]
    watts = measured_watts or (None if on_cpu else tdp_watts(device))
    if watts is None:
        return {"why_not": f"nobody measured the power of a {device}, and no data sheet is on record for it"}
    devices = 1 if on_cpu else hardware["processes"]
    resumed = bool(run.get("resumed_from_step"))
    return {
        "kwh": devices * hours(run) * watts * (pue or 1.0) / 1000,
        "devices": devices,
        "device": device,
        "hours": hours(run),
        "hours_source": "scaled up from the steps after the last resume" if resumed else "measured",
        "watts": watts,
        "watts_source": "measured" if measured_watts else "power limit of its data sheet, not measured",
        "pue": pue or 1.0,
        "pue_source": "stated by whoever ran it" if pue else "not known: the devices alone, without the machine room",
    }
