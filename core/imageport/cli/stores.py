"""``imageport stores``: where images can go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imageport.cli.capabilities import in_words
from imageport.cli.options import Json
from imageport.cli.output import option_text, print_fields, print_json, print_table

if TYPE_CHECKING:
    from imageport.app import Imageport

app = typer.Typer(help="Show the stores that images go to.", no_args_is_help=True)

OfPipeline = Annotated[
    str | None,
    typer.Option("--pipeline", metavar="FILE", help="The stores of this pipeline instead of the site's."),
]


@app.command("list")
def list_stores(ctx: typer.Context, pipeline: OfPipeline = None, json: Json = False) -> None:
    """List the stores of the site file, or those of a pipeline."""
    imageport: Imageport = ctx.obj
    stores = imageport.stores(pipeline)
    if json:
        print_json(stores)
        return
    print_table(
        ("ID", "PLUGIN", "WRITABLE", "DEFAULT", "OPTIONS"),
        (
            (
                store["id"],
                store["plugin"],
                "no" if store["read_only"] else "yes",
                "yes" if store["default"] else "",
                " ".join(f"{name}={text}" for name, text in _options(store)),
            )
            for store in stores
        ),
    )


@app.command("show")
def show_store(
    ctx: typer.Context,
    store: Annotated[str, typer.Argument(metavar="ID", help="Id of the store.")],
    pipeline: OfPipeline = None,
    json: Json = False,
) -> None:
    """Show one store with its options."""
    from imageport.errors import UsageError
    from imageport.text import did_you_mean

    imageport: Imageport = ctx.obj
    stores = {found["id"]: found for found in imageport.stores(pipeline)}
    if store not in stores:
        raise UsageError(
            f"no store '{store}'{did_you_mean(store, stores)}", hint=f"there are: {', '.join(stores)}"
        )
    found = stores[store]
    if json:
        print_json(found)
        return
    print_fields(
        {
            **{name: value for name, value in found.items() if not isinstance(value, (bool, dict, list))},
            "writable": "no" if found["read_only"] else "yes",
            "default": "yes" if found["default"] else "no",
            "hooks": " ".join(found["hooks"]),
            "capabilities": in_words(found["capabilities"]),
            **dict(_options(found)),
        }
    )


def _options(store: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, option_text(value)) for name, value in store["options"].items() if value is not None]
