"""`python -m kotowari` is `kotowari`."""

from kotowari.cli.main import main

raise SystemExit(main())
