"""Writes versions/0001.py anew from the tables.

python -m yozora.service.migrations.write

While no database of others exists there is one step. After the first release this one stays as it is, and a change of
the tables gets a step of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command

from yozora.service.database import Database, alembic

if __name__ == "__main__":
    versions = Path(__file__).with_name("versions")
    (versions / "0001.py").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.sqlite")
        with database.write() as tx:
            settings = alembic(tx)
            settings.set_main_option("file_template", "%%(rev)s")
            command.revision(
                settings, "The tables of the first version", rev_id="0001", autogenerate=True
            )
        database.close()
    file = versions / "0001.py"
    file.write_text(re.sub(r"    # ###.*\n", "", file.read_text()))
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", file], check=True)
