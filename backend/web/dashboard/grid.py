"""What all AG Grids have in common; their cells are drawn by `assets/grid.js`."""

from __future__ import annotations

from typing import Any

_THEME = (
    "themeQuartz.withParams({"
    "accentColor: 'var(--mantine-color-indigo-filled)', "
    "backgroundColor: 'var(--mantine-color-body)', "
    "foregroundColor: 'var(--mantine-color-text)', "
    "borderColor: 'var(--mantine-color-default-border)', "
    "fontFamily: 'inherit', "
    "headerFontWeight: 600, "
    "wrapperBorder: false"
    "})"
)

GRID_OPTIONS: dict[str, Any] = {
    "theme": {"function": _THEME},
    "animateRows": False,
    "tooltipShowDelay": 300,
    "rowHeight": 46,
    "suppressCellFocus": False,
    "enableCellTextSelection": True,
    "ensureDomOrder": True,
    "suppressDragLeaveHidesColumns": True,
}


def column(
    field: str,
    name: str,
    *,
    renderer: str = "",
    text: str = "",
    share: bool = False,
    score: bool = False,
    min_width: int = 92,
    count: bool = False,
    pinned: str = "",
    filter: str = "",  # noqa: A002
    sortable: bool = True,
) -> dict[str, Any]:
    """Definition of a column.

    Parameters
    ----------
    renderer
        Function of `assets/grid.js` that draws a cell.
    text
        Field that is shown instead of the one that is sorted by.
    share
        Whether it is a share, shown in per cent.
    score
        Whether it is a score from 0 to 1, shown with three decimals.
    count
        Whether it is a number or a time as it is.
    """
    found: dict[str, Any] = {
        "field": field,
        "headerName": name,
        "minWidth": min_width,
        "sortable": sortable,
    }
    if renderer:
        found["cellRenderer"] = renderer
    if text:
        found["valueFormatter"] = {"function": f"params.data ? params.data.{text} : ''"}
    if share:
        found["valueFormatter"] = {
            "function": "params.value == null ? '–' : d3.format('.1f')(100 * params.value) + ' %'"
        }
        found["type"] = "rightAligned"
    if count:
        found["type"] = "rightAligned"
    if score:
        found["valueFormatter"] = {
            "function": "params.value == null ? '–' : d3.format('.3f')(params.value)"
        }
        found["type"] = "rightAligned"
    if pinned:
        found["pinned"] = pinned
        found["lockPinned"] = True
    if filter:
        found["filter"] = f"ag{filter.title()}ColumnFilter"
    return found
