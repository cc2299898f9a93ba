"""What a training over several devices exchanges in each step, over which links, and how long those take for it; and what goes
between a device and its machine where states are kept there.

What each strategy exchanges is counted (Rajbhandari et al. 2020, Korthikanti et al. 2022). A link gets a share of its sheet, which is
a range from published measurements. What is between machines is nobody's to know from a project: a wide range.
"""

from __future__ import annotations

from typing import NamedTuple

from mlctl.estimate.devices import Device, sheet_name
from mlctl.estimate.memory import token_layer
from mlctl.estimate.setup import ADAPTERS, FP32, HALF, ZERO, Setup
from mlctl.estimate.shapes import LanguageShape
from mlctl.types.estimate import NOTHING, Range

# Shares of a sheet that gathers and sums over all devices reach, by messages of 34 to 540 MB of NCCL. Own links: A100 0.45 to 0.74,
# H100 and H200 0.40 to 0.75, or 0.99 where the switch adds up, B200 0.29 to 0.78 (rows of NVIDIA's aiconfigurator-core), MI300X 0.70.
_LINK = Range(0.40, 0.70, 0.95)
# PCIe: two boards 0.5 to 0.6 (L40S, RTX PRO 6000, RTX 5090). Of more it is the processors between that decide: eight RTX PRO 6000 0.37,
# RTX 5090 0.44, A100 about 0.25; one machine of L40S 0.15 with four and 0.04 with eight, which is below the range.
_SLOT_PAIR = Range(0.25, 0.55, 0.85)
_SLOT = Range(0.10, 0.30, 0.75)
_USUAL = 32e9  # PCIe 4 over 16 lanes, where the sheet is not known
# Bytes a second and direction to other machines. Those whose devices have links of their own are sold with 100 to 3,200 Gbit/s, mostly
# with one adapter of 200 or 400 for each device, of which this is the rate; others share 10 to 200 Gbit/s.
_FABRIC = Range(1e9, 19e9, 48e9)
_ETHERNET = Range(0.8e9, 3e9, 20e9)
# Of a CPU's processes (gloo, by TCP): within a machine, where two were measured at 0.3 on a busy one; and between machines.
_LOOPBACK = Range(0.2e9, 0.8e9, 4e9)
_MACHINES = Range(0.05e9, 0.5e9, 2.5e9)
# Between a device and its machine's memory: 0.73 to 0.86 of the sheet from memory that is pinned, far less from other.
_HOST = Range(0.10, 0.35, 0.85)
# Parameters a second that one machine's processors update where the optimizer's state is there. A 7B model on eight A800 by
# DeepSpeed: 0.36e9 and 0.42e9; on eight A100: 0.9e9.
_UPDATE = Range(0.1e9, 0.4e9, 3e9)
# How much of what could be exchanged beside arithmetic likely is: FSDP of 8B over four H200 takes 7 % more than one of them, where its
# links alone would take over 10 %. Our ZeRO waits for its gradients (`overlap_comm: False`), and only fetches weights ahead.
_HIDDEN = {"ddp": 0.85, "fsdp": 0.85, "3d": 0.85, "zero3": 0.55}
_BACKWARD = 2 / 3  # of the arithmetic, when gradients are there to be sent
_DECIDES = 1 / 3  # of the whole time


class Exchange(NamedTuple):
    """What a training waits for beside its arithmetic, in seconds of all steps."""

    beside: Range = NOTHING  # what arithmetic may hide
    part: float = 0.0  # of the arithmetic, beside which that can be
    hidden: float = 0.0  # of `beside`, likely
    apart: Range = NOTHING  # what is waited for in any case
    away: float = 0.0  # of both, likely seconds that go to and from states in the machine's memory

    def over(self, compute: Range) -> Range:
        """Seconds with those of the arithmetic: at the least all is hidden that can be, at the most nothing."""
        low = compute.low + max(0.0, self.beside.low - self.part * compute.low)
        mid = compute.mid + self.beside.mid - min(self.hidden * self.beside.mid, self.part * compute.mid)
        found = Range(low, mid, compute.high + self.beside.high)
        return found if self.apart is NOTHING else found + self.apart


ALONE = Exchange()


def exchange(setup: Setup, amount: Range, steps: float) -> Exchange:
    """What so many tokens (or rows of a table) in so many steps take of the links."""
    if setup.processes == 1 and (not setup.offload or setup.device.host):
        return ALONE
    shared, part = _shared(setup)
    beside, apart, away = NOTHING, NOTHING, 0.0
    if shared:
        beside = _around(setup, setup.data, setup.tensor, shared * steps)
    if setup.tensor > 1:
        each = amount * (1 / setup.data)
        apart = each.times(_around(setup, setup.tensor, 1, _summed(setup)))
    if setup.pipeline > 1:
        each = amount * (1 / setup.data)
        apart = apart + each.times(_around(setup, 2, setup.processes // setup.pipeline, _passed(setup)))
    if setup.offload and not setup.device.host:
        streamed, waited = _kept_away(setup, amount * (1 / setup.data), steps)
        beside, apart = beside + streamed, apart + waited
        away, part = streamed.mid + waited.mid, max(part, _BACKWARD)
    return Exchange(beside, part, _HIDDEN.get(setup.strategy, 0.0), apart, away)


def decides(setup: Setup, found: Exchange, added: float, total: float) -> str:
    """A word where the links take much of the time, whatever the devices could do; empty where they do not."""
    if not total or added < _DECIDES * total:
        return ""
    share = f"{added / total:.0%} of the time"
    if found.away > added / 2:
        return f"what is kept in the machine's memory decides ({share})"
    return f"the links decide ({share}): {setup.processes} {sheet_name(setup.device)} exchange {_way(setup)}"


def _way(setup: Setup) -> str:
    local, device = _local(setup), setup.device
    if local < setup.processes:
        return "between machines"
    if device.host:
        return "through their machine"
    return "by links of their own" if _own(device, local) else "by PCIe"


def _shared(setup: Setup) -> tuple[float, float]:
    """Bytes that one data rank gathers and adds up in a step, each once around; and the part of the arithmetic beside which that is."""
    if setup.data == 1:
        return 0.0, 0.0
    cut = setup.tensor * setup.pipeline
    learnt, whole = setup.trained / cut, setup.parameters / cut
    rounds = -(-setup.batch // (setup.data * setup.rows))
    width = HALF if setup.strategy in ZERO and setup.precision != "fp32" else FP32
    held = whole * (setup.width if setup.method in ADAPTERS else width)
    if setup.strategy == "zero1":
        return 2 * learnt * width, _BACKWARD / rounds
    if setup.strategy == "zero2":  # gradients after each part of a batch
        return learnt * width * (rounds + 1), _BACKWARD
    if setup.strategy in ("zero3", "fsdp"):  # weights forward and back, and gradients
        return rounds * (2 * held + learnt * width), 1.0
    if setup.strategy == "3d":  # gradients once; a pipeline gathers once and keeps
        gathered = 2 * rounds * held if setup.pipeline == 1 else held
        return gathered + learnt * width, 1.0
    return 2 * learnt * width, _BACKWARD / rounds


def _summed(setup: Setup) -> float:
    """Bytes that one token's values are added up in by tensor ranks: twice forward, twice back, and twice when computed again."""
    shape = setup.shape
    if not isinstance(shape, LanguageShape):
        return 0.0
    times = 6 if setup.checkpointing else 4
    return 2.0 * times * shape.layers / setup.pipeline * shape.hidden * setup.width  # a sum goes around twice


def _passed(setup: Setup) -> float:
    """Bytes of one token that a stage hands on, and gets back."""
    shape = setup.shape
    return 4.0 * shape.hidden * setup.width if isinstance(shape, LanguageShape) else 0.0


def _kept_away(setup: Setup, each: Range, steps: float) -> tuple[Range, Range]:
    """Seconds of what a device fetches from its machine's memory and puts there, as it goes, and after each step."""
    rate = _HOST * (setup.device.slot or _USUAL)
    learnt, whole = setup.trained / setup.data, setup.parameters / setup.data
    width = HALF if setup.strategy in ZERO and setup.precision != "fp32" else FP32
    rounds = setup.micro_batches
    streamed, waited = NOTHING, NOTHING
    if "parameters" in setup.offload:
        streamed = streamed + _seconds(2 * rounds * whole * width * steps, rate)
    if "activations" in setup.offload and isinstance(setup.shape, LanguageShape):
        values = setup.shape.hidden if setup.checkpointing else token_layer(setup.shape)
        streamed = streamed + each.times(_seconds(2.0 * values * setup.shape.layers * setup.width, rate))
    if "optimizer" in setup.offload:
        often = 1 if setup.strategy == "zero1" else rounds
        waited = _seconds((often + 1) * learnt * width * steps, rate)
        waited = waited + _seconds(setup.trained * steps, _UPDATE * _machines(setup))
    return streamed, waited


def _machines(setup: Setup) -> int:
    """Machines that share the processes."""
    if setup.device.host:
        return setup.hosts
    return max(setup.hosts, -(-setup.processes // setup.device.most))


def _local(setup: Setup) -> int:
    """Processes of one machine."""
    return -(-setup.processes // _machines(setup))


def _around(setup: Setup, ranks: int, stride: int, amount: float) -> Range:
    """Seconds that so many bytes take around a group of ranks, of which each is `stride` processes away from the next: each sends, and
    gets, all but its own part."""
    device, local = setup.device, _local(setup)
    inside = min(ranks, max(1, local // stride))
    amount *= (ranks - 1) / ranks
    share, sheet = (_LOOPBACK, 1.0) if device.host else _inside(device, inside)
    if inside == ranks:
        return _seconds(amount / sheet, share)
    fabric = device.link > 0 and device.joined == device.most  # its machines are built for trainings over many of them
    between = _MACHINES if device.host else _FABRIC if fabric else _ETHERNET
    between = between * (inside if fabric else inside / local)  # the groups of a machine share its way out
    return _seconds(amount, _slower(share * sheet, between) if inside > 1 else between)


def _inside(device: Device, ranks: int) -> tuple[Range, float]:
    """The sheet's bytes a second and direction of one device while so many of a machine exchange, and the share that is reached."""
    share = _LINK if _own(device, ranks) else _SLOT_PAIR if ranks <= 2 else _SLOT
    return share, link_sheet(device, ranks)


def link_sheet(device: Device, ranks: int) -> float:
    """Bytes a second and direction that so many of a machine have between each other by the sheet: by links of their own where those
    join them all, else by PCIe."""
    return _own(device, ranks) or device.slot or _USUAL


def _own(device: Device, ranks: int) -> float:
    """What its own links give for so many: where each is linked to each (AMD), those to the others of them."""
    if ranks > device.joined:
        return 0.0
    if device.maker == "amd":
        return device.link * min(1.0, max(1, ranks - 1) / (device.joined - 1))
    return device.link


def _slower(first: Range, second: Range) -> Range:
    return Range(min(first.low, second.low), min(first.mid, second.mid), min(first.high, second.high))


def _seconds(amount: float, rate: Range) -> Range:
    return Range(amount / rate.high, amount / rate.mid, amount / rate.low)
