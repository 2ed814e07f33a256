"""`python -m tonearm_notify serve|migrate|settings`."""

from tonearm_kit.main import main
from tonearm_notify.bootstrap import migrate_schema, serve
from tonearm_notify.settings import NotifySettings

if __name__ == "__main__":
    main("notify", settings=NotifySettings, serve=serve, migrate=migrate_schema)
