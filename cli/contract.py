"""What a new OpenAPI document takes from the clients of an older one."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema laid out flat, by JSON pointers with `*` for any item."""

    kinds: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    values: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    required: set[str] = field(default_factory=set)


def broken(old: Json, new: Json) -> list[str]:
    """One sentence for each change that a client of the old document can stumble over."""
    return [
        f"{method.upper()} {path} {what}"
        for path, methods in old["paths"].items()
        for method in METHODS
        if method in methods
        for what in _operation(old, new, methods[method], new["paths"].get(path, {}).get(method))
    ]


def _operation(old: Json, new: Json, before: Json, after: Json | None) -> Iterator[str]:
    if after is None:
        yield "is gone"
        return
    if before["operationId"] != after["operationId"]:
        yield f"is called {after['operationId']}, which renames it in generated clients"
    for status in sorted(before["responses"].keys() - after["responses"].keys()):
        yield f"has no answer {status} any more"
    yield from _parameters(before, after)
    yield from _asked(old, new, before.get("requestBody", {}), after.get("requestBody", {}))
    yield from _answered(old, new, before["responses"], after["responses"])


def _parameters(before: Json, after: Json) -> Iterator[str]:
    known = {(each["in"], each["name"]): each for each in before.get("parameters", ())}
    now = {(each["in"], each["name"]): each for each in after.get("parameters", ())}
    for place, name in sorted(known.keys() - now.keys()):
        yield f"takes no {place} parameter {name} any more"
    for (place, name), each in now.items():
        if each.get("required") and not known.get((place, name), {}).get("required"):
            yield f"requires the {place} parameter {name}"


def _asked(old: Json, new: Json, before: Json, after: Json) -> Iterator[str]:
    if after.get("required") and not before.get("required"):
        yield "requires a body"
    for kind, each in before.get("content", {}).items():
        if kind not in after.get("content", {}):
            yield f"takes no {kind} any more"
            continue
        was, now = _shape(old, each["schema"]), _shape(new, after["content"][kind]["schema"])
        for place in sorted(now.required - was.required):
            if place.rpartition("/")[0] in was.kinds:
                yield f"requires {place} in its body"
        for place in sorted(was.kinds):
            if lost := (was.kinds[place] - now.kinds[place]) | (
                was.values[place] - now.values[place] if now.values[place] else set()
            ):
                yield f"takes no {', '.join(sorted(lost))} at {place or '/'} of its body any more"


def _answered(old: Json, new: Json, before: Json, after: Json) -> Iterator[str]:
    for status, answer in before.items():
        for kind, each in answer.get("content", {}).items():
            now_each = after.get(status, {}).get("content", {}).get(kind)
            if now_each is None:
                continue  # of a status that is gone it is said already
            was, now = _shape(old, each.get("schema", {})), _shape(new, now_each.get("schema", {}))
            for place in sorted(was.required - now.required):
                yield f"need not give {place} in its answer {status}"
            for place in sorted(was.kinds.keys() & now.kinds.keys()):
                if more := now.kinds[place] - was.kinds[place]:
                    yield f"may give {', '.join(sorted(more))} at {place or '/'} of {status}"


def _shape(document: Json, schema: Json) -> Shape:
    found = Shape()
    _lay(document, schema, "", found, ())
    return found


def _lay(document: Json, schema: Json, place: str, found: Shape, within: tuple[str, ...]) -> None:
    """`within`: the names on the way here, as a schema may hold itself."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        if name not in within:
            named = document["components"]["schemas"][name]
            _lay(document, named, place, found, (*within, name))
        return
    for choice in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(choice, ()):
            _lay(document, part, place, found, within)
    if kind := schema.get("type"):
        found.kinds[place].add(kind)
    found.values[place].update(str(v) for v in schema.get("enum", ()))
    for name, part in schema.get("properties", {}).items():
        _lay(document, part, f"{place}/{name}", found, within)
    found.required.update(f"{place}/{name}" for name in schema.get("required", ()))
    if isinstance(items := schema.get("items"), dict):
        _lay(document, items, f"{place}/*", found, within)
