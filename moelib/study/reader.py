"""Reading a study: a YAML file becomes the declarations beside it, or a sentence refuses it.

An unknown key, a wrong type or an impossible value is refused before anything runs, with a sentence
that names the key as the file's reader knows it and says what is allowed.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from moelib.study.base import PROJECT, ConfigError
from moelib.study.heads import family
from moelib.study.protocol import PROTOCOLS
from moelib.study.study import Study

STUDIES = PROJECT / "studies"


def load_study(study: str | os.PathLike) -> Study:
    """Read a study by its name in `studies/`, or by the path of a YAML file.

    A study may say `extends: NAME`: it then starts from that study, key by key, and overrides it.
    `null` takes a head of that study away, and `heads: [NAME, ...]` all but those; what is of
    another `kind` than there starts anew.

    Raises:
        ConfigError: the study does not exist, is not YAML, or holds something that is not allowed.
    """
    path = _study_path(study)
    raw = read_yaml(path)
    if raw.setdefault("name", path.stem) != path.stem:
        raise ConfigError(
            f"{path.name}: 'name' is {raw['name']!r}, but a study is called what its file is "
            f"called, '{path.stem}': leave the key out, or rename the file."
        )
    return parse_study(raw, source=path.name)


def parse_study(raw: dict[str, Any], source: str = "study") -> Study:
    """Validate the plain dictionary of a study; `source` names it in error sentences."""
    try:
        # By way of JSON, so that lists become tuples while all other types stay strict.
        plain = json.dumps(_with_presets(raw), default=_refuse_value)
        return Study.model_validate_json(plain)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, Study)}") from None
    except (ConfigError, TypeError) as error:  # TypeError: a key that is no text, say
        raise ConfigError(f"{source}: {error}") from None


def _with_presets(raw: dict[str, Any]) -> dict[str, Any]:
    """A head's name is its kind unless it says otherwise; a protocol starts from its preset."""
    raw = dict(raw)
    if isinstance(raw.get("heads"), dict):
        raw["heads"] = {
            name: {"kind": name, **(head or {})} if isinstance(head, dict | None) else head
            for name, head in raw["heads"].items()
        }
    if isinstance(raw.get("protocol"), str):
        raw["protocol"] = {"base": raw["protocol"]}
    if isinstance(raw.get("protocol"), dict):
        base = raw["protocol"].get("base")
        if base not in list(PROTOCOLS):  # of a list: a base that YAML made a list has no hash
            raise ConfigError(
                f"'protocol.base' = {base!r} is not allowed: a protocol is one of "
                f"{', '.join(PROTOCOLS)}, or a mapping with `base` and the keys that differ."
            )
        raw["protocol"] = {**PROTOCOLS[base].model_dump(), **raw["protocol"]}
    return raw


def _refuse_value(value: object) -> None:
    kind = type(value).__name__
    raise ConfigError(f"YAML reads {value} as a {kind}: write it in quotes if it is a text.")


def _study_path(study: str | os.PathLike, extended_by: Path | None = None) -> Path:
    path = Path(study)
    if path.suffix not in {".yaml", ".yml"}:
        path = STUDIES / f"{study}.yaml"
    if path.is_file() and path.parent == STUDIES / "modalities":
        raise ConfigError(
            f"'{study}' is a study of modalities, which has a command of its own: "
            f"`.venv/bin/python -m moelib.modalities {path.stem}`, at any time to be stopped and "
            "called again."
        )
    if not path.is_file():
        names = sorted(p.stem for p in STUDIES.glob("*.yaml") if p != extended_by)
        close = difflib.get_close_matches(str(study), names, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        whose = f"{extended_by.name} extends '{study}': there" if extended_by else "There"
        raise ConfigError(
            f"{whose} is no study '{study}'; the studies are {', '.join(names)}.{hint}"
        )
    return path


def read_yaml(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a file, on top of what it extends; `above` are the files that extend it."""
    raw = deepcopy(_parsed(path, path.stat().st_mtime_ns))
    if not isinstance(raw, dict):
        raise ConfigError(f"{path.name} must be a mapping of keys to values.")
    base = raw.pop("extends", None)
    if base is None:
        if isinstance(raw.get("heads"), dict):  # null has nothing to take away: all defaults
            raw["heads"] = {
                name: {} if head is None else head for name, head in raw["heads"].items()
            }
        return raw
    sibling = path.parent / f"{base}.yaml"
    base = sibling if sibling.is_file() else _study_path(str(base), path)
    if base.resolve() in {file.resolve() for file in (path, *above)}:
        raise ConfigError(f"{path.name} extends itself, directly or by way of another study.")
    extended = read_yaml(base, (path, *above))
    if isinstance(raw.get("heads"), list):
        extended["heads"] = _chosen(raw.pop("heads"), extended.get("heads"), path, base)
    merged = _merge(extended, raw)
    if isinstance(merged.get("heads"), dict):
        there = extended.get("heads")
        for name, head in merged["heads"].items():
            if head is None and not (isinstance(there, dict) and name in there):
                raise ConfigError(
                    f"{path.name}: 'heads.{name}' is null, which takes a head away, and "
                    f"'{base.stem}' has none of that name; {{}} is a head with all defaults."
                )
        merged["heads"] = {name: head for name, head in merged["heads"].items() if head is not None}
    return merged


@cache  # a chapter asks for a study dozens of times, and YAML 1.2 is read in a tenth of a second
def _parsed(path: Path, _: int) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))  # YAML 1.2
    except DuplicateKeyError as error:
        key, line = (
            re.search('duplicate key "(.*?)"', error.problem)[1],
            error.problem_mark.line + 1,
        )
        raise ConfigError(
            f"{path.name}: the key '{key}' is given a second time in line {line}."
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not readable as YAML: {error}.") from None


def _chosen(names: list[Any], heads: Any, path: Path, base: Path) -> dict[str, Any]:
    """Those of the heads of the study `base` that the study at `path` names, in its order."""
    heads = heads if isinstance(heads, dict) else {}
    unknown = [name for name in names if name not in list(heads)]  # a name may have no hash
    if unknown:
        raise ConfigError(
            f"{path.name}: 'heads' is a list, which keeps heads of '{base.stem}', and that has no "
            f"{unknown[0]!r}; its heads are {', '.join(heads)}."
        )
    return {name: heads[name] for name in names}


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, key by key."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(value, dict) and isinstance(inner, dict)
        # The keys of one kind mean nothing to another. A head's name is its kind by default.
        alike = both and value.get("kind") in (None, inner.get("kind", key))
        merged[key] = _merge(inner, value) if alike else value
    return merged


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One sentence for each fault that pydantic found: the key, the value, and what is allowed."""
    return " ".join(_sentence(fault, model) for fault in error.errors() if not _follows(fault))


def _follows(fault: dict[str, Any]) -> bool:
    """Whether a sequence is only too short since its entries were refused, each with a sentence."""
    return fault["type"] == "too_short" and len(fault["input"]) >= fault["ctx"]["min_length"]


def _sentence(fault: dict[str, Any], model: type[BaseModel]) -> str:
    where = ".".join(_without_tags(fault["loc"], model))
    match fault["type"]:
        case "extra_forbidden":
            allowed = _keys_at(fault["loc"][:-1], model)
            close = difflib.get_close_matches(str(fault["loc"][-1]), allowed, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            known = f"; the keys there are {', '.join(allowed)}" if allowed else ""
            return f"Unknown key '{where}'{known}.{hint}"
        case "missing":
            return f"The key '{where}' is missing."
        case "union_tag_not_found":
            return f"The key '{where}.kind' is missing."
        case "too_short":
            return f"'{where}' must not be empty."
        case "value_error":
            place = f"{where}: " if where else ""
            return f"{place}{fault['ctx']['error']}."
        case "union_tag_invalid":
            tag, allowed = fault["ctx"]["tag"], fault["ctx"]["expected_tags"]
            kind = family(tag)  # a head without a kind is of that which its name says
            told = kind != tag and f"'{kind}'" in allowed
            hint = f" Write `kind: {kind}` into it." if told else ""
            return f"'{where}': there is no kind {tag!r}; allowed are {allowed}.{hint}"
        case _:
            reason = fault["msg"][0].lower() + fault["msg"][1:]
            # In the words of YAML, not of JSON.
            reason = reason.replace("an object", "a mapping").replace("a valid array", "a list")
            return f"'{where}' = {fault['input']!r} is not allowed: {reason}."


def _keys_at(loc: tuple, model: Any) -> list[str]:
    """The keys that the model at this place of the study allows."""
    *_, (_, model) = [(None, model), *_walk(loc, model)]
    return [key for m in _models(model) for key in m.model_fields if key != "kind"]


def _without_tags(loc: tuple, model: Any) -> list[str]:
    """The place as the study's reader knows it; pydantic adds the kind of a backbone or head."""
    return [str(part) for part, _ in _walk(loc, model) if part is not None]


def _walk(loc: tuple, model: Any) -> Iterator[tuple[Any, Any]]:
    """Each part of a place, None where it only names a kind, with the type that is found there."""
    for part in loc:
        if get_origin(model) is dict:  # the part is a key, whatever it is called
            tagged, types = [], [get_args(model)[1]]
        else:
            options = _models(model)
            tagged = [m for m in options if len(options) > 1 and _kind(m) == part]
            fields = (m.model_fields[part].annotation for m in options if part in m.model_fields)
            types = tagged or [*fields, model]  # neither: an index, which leaves the type as it is
        model = types[0]
        yield (None if tagged else part), model


def _models(annotation: Any) -> list[type[BaseModel]]:
    """All pydantic models named in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models(arg)]


def _kind(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return get_args(field.annotation)[0] if field else None
