"""`python -m slayerloss.cli`, the same as `slayerloss`."""

from slayerloss.cli import main

raise SystemExit(main())
