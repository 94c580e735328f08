"""Say which FreeSWITCH the tests would use: python -m tests.freeswitch."""

import sys

from tests.bed.freeswitch import installation
from tests.bed.server import BedError

try:
    print(f"FreeSWITCH: {installation().program}")
except BedError as error:
    sys.exit(str(error))
