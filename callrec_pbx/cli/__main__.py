"""`python -m callrec_pbx.cli`: the same as the program `callrec-pbx`."""

from callrec_pbx.cli import main

main()
