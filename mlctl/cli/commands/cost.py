"""mlctl cost: what the project takes of time and money, on these devices and on others."""

from __future__ import annotations

from mlctl.cli.costing.actual import HELP as ACTUAL_HELP
from mlctl.cli.costing.actual import actual
from mlctl.cli.costing.advise import HELP as ADVISE_HELP
from mlctl.cli.costing.advise import advise
from mlctl.cli.costing.break_even import HELP as BREAK_EVEN_HELP
from mlctl.cli.costing.break_even import break_even
from mlctl.cli.costing.compare import HELP as COMPARE_HELP
from mlctl.cli.costing.compare import compare
from mlctl.cli.costing.estimate import HELP as ESTIMATE_HELP
from mlctl.cli.costing.estimate import estimate
from mlctl.cli.costing.import_ import HELP as IMPORT_HELP
from mlctl.cli.costing.import_ import import_
from mlctl.cli.costing.size import HELP as SIZE_HELP
from mlctl.cli.costing.size import size
from mlctl.cli.costing.what_if import HELP as WHAT_IF_HELP
from mlctl.cli.costing.what_if import what_if
from mlctl.cli.options import make_group

app = make_group(
    "What the project takes of time and money: on these devices, on others, and with other values. All of it offline, from the "
    "project as written and dated price lists.\n\n"
    "Examples:\n\n  mlctl cost estimate\n\n  mlctl cost compare --deadline 6h --html compare.html\n\n"
    "  mlctl cost what-if --set training.churn.batch_size=64\n\n  mlctl cost break-even --gpus 8 --gpu H100"
)
# Each command is a file of mlctl.cli.costing: `app.command("NAME", help=HELP)(NAME)`, whose tools are imported when it runs.
app.command("estimate", help=ESTIMATE_HELP)(estimate)
app.command("compare", help=COMPARE_HELP)(compare)
app.command("size", help=SIZE_HELP)(size)
app.command("what-if", help=WHAT_IF_HELP)(what_if)
app.command("break-even", help=BREAK_EVEN_HELP)(break_even)
app.command("advise", help=ADVISE_HELP)(advise)
app.command("import", help=IMPORT_HELP)(import_)
app.command("actual", help=ACTUAL_HELP)(actual)
