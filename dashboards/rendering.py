"""The templates, styles and scripts that `dashboards preview` and `dashboards serve` share."""

from functools import cache
from importlib import resources

import jinja2
import vl_convert


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.PackageLoader("dashboards", "page"),
    )


def template(name: str) -> jinja2.Template:
    """A template of the folder `page`."""
    return _templates().get_template(name)


def own_file(name: str) -> str:
    """The text of a style or a script of the folder `page`."""
    return (resources.files("dashboards") / "page" / name).read_text("utf-8")


@cache
def library() -> str:
    """The script that draws charts: Vega, Vega-Lite and Vega-Embed in one."""
    # The argument is optional; its type does not say so.
    return vl_convert.javascript_bundle()  # type: ignore[call-arg]
