"""Fill a page template of this folder; all text is escaped."""

from pathlib import Path

import jinja2

from util.files import write_text

FOLDER = Path(__file__).parent
TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def write(path, template, **values):
    """Write the page `path` from a template; returns the path."""
    page = TEMPLATES.get_template(template).render(**values)
    write_text(path, page.encode(errors="replace").decode())
    return path
