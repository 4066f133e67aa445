"""The reference of all configuration keys, docs/configuration.md; printed by `python -m lockerd.config_reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

import msgspec

from lockerd.config import Config


def reference() -> str:
    """docs/configuration.md: every table and key with type, default and meaning."""
    lines = [
        "# Configuration",
        "",
        "One TOML file, by default `/etc/lockerd/lockerd.toml`. A key that is not listed here is refused, and so is a",
        "value of another type: one line on standard error names file, key and remedy, and the exit status is 78.",
        "`lockerd --config FILE check` says whether the machine could start with it now.",
        "",
        "This page is printed by `python -m lockerd.config_reference`.",
    ]
    for name, table in _tables(Config):
        kinds = get_args(table) or (table,)
        for kind in kinds:
            tag = kind.__struct_config__.tag
            title = f"[{name}] kind = {_toml(tag)}" if tag else f"[{name}]"
            lines += [
                "",
                f"## {title}",
                "",
                str(kind.__doc__),
            ]
            rows = [_row(field) for field in msgspec.structs.fields(kind) if _table(field.type) is None]
            if rows:
                lines += ["", "| key | type | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([*lines, ""])


def _tables(of: type[msgspec.Struct], within: str = "") -> Iterator[tuple[str, Any]]:
    """Each table with its name, one inside another behind it."""
    for field in msgspec.structs.fields(of):
        table = _table(field.type)
        if table is None:
            continue
        yield within + field.name, table
        if isinstance(table, type):
            yield from _tables(table, f"{within}{field.name}.")


def _table(kind: Any) -> Any:
    """The struct or structs that a key holds, None where it holds a plain value."""
    kinds = [k for k in get_args(kind) or (kind,) if k is not NoneType]
    if not all(isinstance(k, type) and issubclass(k, msgspec.Struct) for k in kinds):
        return None
    return kinds[0] if len(kinds) == 1 else kind


def _row(field: msgspec.structs.FieldInfo) -> str:
    kind = msgspec.inspect.type_info(field.type)
    meaning = ""
    if isinstance(kind, msgspec.inspect.Metadata):
        meaning, kind = str((kind.extra_json_schema or {}).get("description", "")), kind.type
    default = "required" if field.required else "none" if field.default is None else f"`{_toml(field.default)}`"
    return f"| `{field.name}` | {_kind(kind)} | {default} | {meaning} |"


def _kind(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(f"`{_toml(value)}`" for value in values)
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"integer, {least} to {most}"
        case msgspec.inspect.BoolType():
            return "`true` or `false`"
        case msgspec.inspect.FloatType(gt=None, ge=least, le=most):
            return f"number, {least} to {most}"
        case msgspec.inspect.FloatType(gt=least, le=most):
            return f"number, above {least} up to {most}"
        case msgspec.inspect.EnumType():
            return "names"
        case msgspec.inspect.CustomType():
            return "path"
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"list of {_kind(item)}"
        case msgspec.inspect.UnionType(types=(first, msgspec.inspect.NoneType())):
            return _kind(first)
        case _:
            return "string"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(part) for part in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.stdout.write(reference())
