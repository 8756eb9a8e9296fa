"""Studies: what is read, what is merged, and the sentence that each fault gets."""

import copy
from pathlib import Path

import pytest
from prose import refusal
from pydantic import ValidationError

from moelib.records.freshness import training_values
from moelib.study import heads as config
from moelib.study.backbones import ResNet18
from moelib.study.base import PROJECT, ConfigError
from moelib.study.data import Data
from moelib.study.heads import KINDS, has_experts
from moelib.study.protocol import PROTOCOLS, Protocol
from moelib.study.reader import STUDIES, load_study, parse_study
from moelib.study.study import Study
from moelib.study.training import MultiStep

RAW = {
    "name": "a-study",
    "description": "As short as a study can be.",
    "data": {"source": "digits", "test_share": 0.25},
    "backbone": {"kind": "small_resnet"},
    "heads": {"dense": {}, "sparse": {}},
    "seeds": [0],
    "protocol": "corrected",
    "training": {"epochs": 50},
}
GONE = "(taken away)"
NAMES = ", ".join(sorted(path.stem for path in STUDIES.glob("*.yaml")))


def raw_with(place: str, value: object) -> dict:
    """The raw study with one key set, or taken away."""
    raw = copy.deepcopy(RAW)
    *path, last = place.split(".")
    inner = raw
    for key in path:
        inner = inner.setdefault(key, {})
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return raw


def save(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# -- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_project_loads_by_name_and_by_path(path):
    study = load_study(path.stem)
    assert study.name == path.stem
    assert load_study(path) == study


# The study that each is compared with: the arm without the key that is switched.
ARMS = dict.fromkeys(
    ("augment", "evaluation-noise", "kl", "load", "top-1-weight", "unpaired"), "ablations"
) | {"logit-dropout": "protocol-load", "ties": "protocol-logit-dropout"}


REPEAT = "protocol-corrected"  # differs from its study in nothing
DEPARTED = sorted({path.stem for path in STUDIES.glob("protocol-*.yaml")} - {REPEAT})


def test_the_study_without_a_departure_trains_as_the_one_it_repeats():
    repeat, study = load_study(REPEAT), load_study("ablations")
    assert repeat.seeds == study.seeds and repeat.heads.keys() < study.heads.keys()
    for head in repeat.heads:
        assert training_values(repeat, head, 0) == training_values(study, head, 0)


@pytest.mark.parametrize("name", DEPARTED)
def test_a_departure_differs_in_one_key_from_what_it_is_compared_with(name):
    study, arm = load_study(name), load_study(ARMS[name.removeprefix("protocol-")])
    exceptions = {"name", "description", "heads", "protocol", "analyses"}
    assert study.model_dump(exclude=exceptions) == arm.model_dump(exclude=exceptions)
    compared = {"utilization", "sharpness"}
    assert study.analyses.model_dump(include=compared) == arm.analyses.model_dump(include=compared)
    shared = study.heads.keys() & arm.heads.keys()
    assert shared and all(study.heads[head] == arm.heads[head] for head in shared)
    before, after = arm.protocol.model_dump(), study.protocol.model_dump()
    (key,) = [key for key in before if before[key] != after[key]]
    assert after[key] == getattr(PROTOCOLS["as-run"], key)


def test_the_shortest_study_gets_the_papers_defaults():
    study = parse_study(RAW)
    assert study.heads["sparse"] == config.Sparse(
        kind="sparse", experts=8, hidden=64, dropout=0.1, gate_dropout=0.1, k=2, noise_floor=0.3
    )
    training = study.training
    assert (training.learning_rate, training.momentum, training.weight_decay) == (0.1, 0.9, 5e-4)
    assert (training.batch_size, training.label_smoothing) == (128, 0)
    assert training.schedule == MultiStep(kind="multistep", milestones=(30, 40), gamma=0.1)
    assert study.data.split_seed == 42


def test_paper_study_is_the_papers_recipe():
    paper, as_run = load_study("paper"), load_study("paper-as-run")
    for study in (paper, as_run):
        assert study.training.epochs == 50 and study.training.batch_size == 128
        assert study.heads["soft"].balance == config.Balance(kl=0.2)
        assert study.heads["sparse"].balance == config.Balance(importance=0.2, load=0.2)
        assert study.data == Data(source="cifar10")
    assert paper.protocol == PROTOCOLS["corrected"]
    assert as_run.protocol == PROTOCOLS["as-run"]
    assert 42 in as_run.seeds  # the authors' only one
    assert as_run.training.precision == "fp32"


def test_a_heads_name_is_its_kind_unless_it_says_otherwise():
    heads = {"dense": None, "top-1": {"kind": "sparse", "k": 1}, "soft": {"experts": 2}}
    study = parse_study(raw_with("heads", heads))
    assert list(study.heads) == ["dense", "top-1", "soft"]  # the order of the file
    assert study.heads["dense"] == config.Dense(kind="dense")
    assert study.heads["top-1"] == config.Sparse(kind="sparse", k=1)
    assert study.heads["soft"] == config.Soft(kind="soft", experts=2)


def test_heads_with_experts():
    study = parse_study(raw_with("heads", {kind: {} for kind in KINDS}))
    without = [name for name, head in study.heads.items() if not has_experts(head)]
    assert without == ["linear", "dense"]


def test_numbers_as_yaml_writes_them_are_read_exactly(tmp_path):
    text = (STUDIES / "quick.yaml").read_text(encoding="utf-8")
    path = save(tmp_path, "mine", text.replace("learning_rate: 0.1", "learning_rate: 1"))
    rate = load_study(path).training.learning_rate
    assert rate == 1.0 and isinstance(rate, float)  # 1 and 1.0 have one digest


def test_a_study_is_its_own_json():
    study = load_study("paper-as-run")
    assert Study.model_validate_json(study.model_dump_json()) == study


# -- frozen -------------------------------------------------------------------------------------


def test_a_study_cannot_be_changed():
    study = parse_study(RAW)
    for object_, key in [
        (study, "name"),
        (study.training, "epochs"),
        (study.heads["sparse"], "k"),
        (study.protocol, "augment"),
    ]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(object_, key, 1)


# -- presets ------------------------------------------------------------------------------------


def test_presets_differ_in_every_key():
    corrected, as_run = (PROTOCOLS[name].model_dump() for name in ("corrected", "as-run"))
    assert all(corrected[key] != as_run[key] for key in corrected)


@pytest.mark.parametrize("base", PROTOCOLS)
@pytest.mark.parametrize("key", [key for key in Protocol.model_fields if key != "base"])
def test_one_key_of_a_preset_can_be_turned_alone(base, key):
    (other,) = (protocol for name, protocol in PROTOCOLS.items() if name != base)
    protocol = parse_study(raw_with("protocol", {"base": base, key: getattr(other, key)})).protocol
    assert protocol == PROTOCOLS[base].model_copy(update={key: getattr(other, key)})
    assert protocol != PROTOCOLS[base]


# -- extends ------------------------------------------------------------------------------------


def test_extends_merges_key_by_key(tmp_path):
    save(
        tmp_path,
        "mine",
        """
        extends: quick
        description: Three experts.
        seeds: [5]
        heads: {soft: {experts: 3}, dense: null, linear: {}}
        training: {epochs: 2}
        """,
    )
    quick, study = load_study("quick"), load_study(tmp_path / "mine.yaml")
    assert study.name == "mine" and study.description == "Three experts."
    assert study.seeds == (5,)  # lists are replaced, not joined
    assert list(study.heads) == ["soft", "sparse", "switch", "linear"]
    assert study.heads["soft"] == quick.heads["soft"].model_copy(update={"experts": 3})
    assert study.heads["sparse"] == quick.heads["sparse"]
    assert study.training == quick.training.model_copy(update={"epochs": 2})
    assert study.data == quick.data


def test_what_is_of_another_kind_starts_anew(tmp_path):
    save(tmp_path, "theirs", "extends: quick\nheads: {control: {kind: sparse, k: 1}}")
    text = """
    extends: theirs
    backbone: {kind: resnet18}
    heads: {control: {kind: linear}, soft: {kind: soft, experts: 3}}
    training: {schedule: {kind: multistep, milestones: [5]}}
    """
    quick, study = load_study("quick"), load_study(save(tmp_path, "mine", text))
    assert study.backbone == ResNet18(kind="resnet18")
    assert study.heads["control"] == config.Linear(kind="linear")
    assert study.heads["soft"] == quick.heads["soft"].model_copy(update={"experts": 3})
    assert study.training.schedule == MultiStep(kind="multistep", milestones=(5,))


def test_a_head_that_is_not_there_cannot_be_taken_away(tmp_path):
    path = save(tmp_path, "mine", "extends: quick\nheads:\n  linear:\n  dense: {hidden: 4}")
    with refusal(ConfigError, "mine.yaml", "heads.linear", "null", "quick"):
        load_study(path)


def test_a_head_of_defaults_is_extended_like_any_other(tmp_path):
    text = (STUDIES / "quick.yaml").read_text().replace("dense: {hidden: 64}", "dense:")
    save(tmp_path, "first", text)
    first = load_study(tmp_path / "first.yaml")
    second = load_study(save(tmp_path, "second", "extends: first\nseeds: [7]"))
    assert first.heads["dense"] == config.Dense(kind="dense")
    assert second.heads == first.heads


def test_a_list_of_heads_keeps_these_alone(tmp_path):
    study = load_study(save(tmp_path, "mine", "extends: quick\nheads: [sparse, dense]"))
    quick = load_study("quick")
    assert list(study.heads) == ["sparse", "dense"]
    assert all(study.heads[name] == quick.heads[name] for name in study.heads)


@pytest.mark.parametrize("name", ["'spares'", "[1]", "3"])
def test_a_list_of_heads_names_only_what_is_there(tmp_path, name):
    path = save(tmp_path, "mine", f"extends: quick\nheads: [dense, {name}]")
    with refusal(ConfigError, "mine.yaml", "quick", f"no {name}", "dense, soft, sparse, switch"):
        load_study(path)


def test_a_list_of_heads_needs_a_study_to_extend(tmp_path):
    text = (STUDIES / "quick.yaml").read_text()
    start, end = text.index("heads:"), text.index("seeds:")
    path = save(tmp_path, "mine", text[:start] + "heads: [dense]\n" + text[end:])
    with refusal(ConfigError, "'heads' = ['dense']"):
        load_study(path)


def test_extends_prefers_a_neighbour_and_may_be_repeated(tmp_path):
    save(tmp_path, "first", "extends: quick\nseeds: [7]\ntraining: {epochs: 9}")
    save(tmp_path, "second", "extends: first\ntraining: {epochs: 8}")
    second = load_study(tmp_path / "second.yaml")
    assert (second.seeds, second.training.epochs) == ((7,), 8)


def test_extends_can_change_the_preset(tmp_path):
    path = save(tmp_path, "mine", "extends: quick\nprotocol: {base: as-run, paired: true}")
    expected = PROTOCOLS["as-run"].model_copy(update={"paired": True})
    assert load_study(path).protocol == expected


@pytest.mark.parametrize("base", ["second", "first"], ids=["by way of another", "directly"])
def test_a_study_that_extends_itself_is_refused(tmp_path, base):
    save(tmp_path, "first", f"extends: {base}")
    save(tmp_path, "second", "extends: first")
    with refusal(ConfigError, f"{base}.yaml", "extends itself"):
        load_study(tmp_path / "first.yaml")


# -- refused files ------------------------------------------------------------------------------


def test_a_wrong_base_is_named_with_who_extends_it(tmp_path):
    path = save(tmp_path, "mine", "extends: quik")
    with refusal(ConfigError, "mine.yaml extends 'quik'", "Did you mean 'quick'?"):
        load_study(path)


@pytest.mark.parametrize("missing", ["nothing", "nothing.yaml", "/nowhere/quick.yaml"])
def test_a_study_that_is_not_there(missing):
    with refusal(ConfigError, f"'{missing}'", NAMES):
        load_study(missing)


@pytest.mark.parametrize("base", ["nothing", "['quick']", "3"])
def test_extending_a_study_that_is_not_there(tmp_path, base):
    path = save(tmp_path, "mine", f"extends: {base}")
    with refusal(ConfigError, f"'{base}'", NAMES):
        load_study(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"heads: [", "YAML"), (b"\xff\xfe\xfa", "YAML"), (b"- 1\n- 2", "mapping"), (b"", "mapping")],
    ids=["syntax", "bytes", "list", "empty"],
)
def test_a_file_that_is_no_study(tmp_path, content, word):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with refusal(ConfigError, "mine.yaml", word):
        load_study(path)


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("extends: quick\nseeds: [1]\nseeds: [2]", "seeds", 3),
        ("extends: quick\nheads:\n  soft: {hidden: 4}\n  soft: {hidden: 8}", "soft", 4),
        ("extends: quick\ntraining: {epochs: 1, epochs: 1}", "epochs", 2),
        ("extends: quick\nextends: paper", "extends", 2),
    ],
)
def test_a_key_given_twice_is_refused(tmp_path, text, key, line):
    path = save(tmp_path, "mine", text)
    with refusal(ConfigError, "mine.yaml", f"'{key}'", f"line {line}"):
        load_study(path)


def test_a_key_may_be_given_again_at_another_place_and_by_an_anchor(tmp_path):
    text = """
    extends: quick
    heads: {soft: &same {hidden: 4}, switch: {<<: *same, hidden: 8}, sparse: *same}
    """
    heads = load_study(save(tmp_path, "mine", text)).heads
    assert [heads[name].hidden for name in ("soft", "switch", "sparse")] == [4, 8, 4]


def test_an_anchor_that_overrides_another_one_may_itself_be_overridden(tmp_path):
    """The deeper mapping is built last, when merging has put its keys beside those it overrides."""
    text = """
    extends: quick
    training: {schedule: &one {<<: &other {kind: onecycle}, kind: onecycle}}
    backbone: {<<: *one, kind: small_resnet}
    """
    study = load_study(save(tmp_path, "mine", text))
    assert (study.training.schedule.kind, study.backbone.kind) == ("onecycle", "small_resnet")


def folders_of_no_study():
    """Of results/: those with records, none of which is of a run `<study>/<head>/seed-<seed>`."""
    results = PROJECT / "results"
    hold = {path.relative_to(results).parts[0] for path in results.glob("*/**/*.json")}
    runs = {path.relative_to(results).parts[0] for path in results.glob("*/*/seed-*/*.json")}
    return sorted(name for name in hold - runs if not (STUDIES / f"{name}.yaml").exists())


@pytest.mark.parametrize("name", folders_of_no_study())
def test_a_study_does_not_share_its_folder_with_other_records(tmp_path, name):
    path = save(tmp_path, name, "extends: quick")
    with refusal(ConfigError, f"{name}.yaml", f"'{name}'", f"results/{name}"):
        load_study(path)


# -- refused values -----------------------------------------------------------------------------

ABOVE_0 = "greater than 0"

FAULTS = [  # a key, its value, and what the message names: the place and what is allowed there
    # unknown and missing keys
    ("sedes", [0], "'sedes'", "Did you mean 'seeds'"),
    ("training.epoch", 1, "'training.epoch'", "Did you mean 'epochs'"),
    ("heads.sparse.ks", 1, "'heads.sparse.ks'", "k, standardise"),
    ("heads.sparse.balance", {"lod": 1.0}, "'heads.sparse.balance.lod'", "'load'"),
    ("heads.dense.k", 1, "'heads.dense.k'", "hidden, dropout"),
    ("protocol", {"base": "as-run", "agument": True}, "'protocol.agument'", "augment"),
    ("analyses.utilisation", {}, "'analyses.utilisation'", "'utilization'"),
    ("data", GONE, "'data'", "missing"),
    ("protocol", GONE, "'protocol'", "missing"),
    ("training", {}, "'training.epochs'", "missing"),
    ("backbone", {}, "'backbone.kind'", "missing"),
    # kinds and choices
    ("heads.dnse", {}, "'heads.dnse'", "'dnse'", "'linear', 'dense'"),
    ("heads.mine", {"kind": "moe"}, "'heads.mine'", "'moe'", "'linear'"),
    ("heads.sparse-k3", {"k": 3}, "'heads.sparse-k3'", "Write `kind: sparse` into it"),
    ("backbone.kind", "vgg", "'backbone'", "'vgg'", "'resnet18'"),
    ("training.schedule", {"kind": "cosine"}, "'training.schedule'", "'multistep', 'onecycle'"),
    ("data.source", "mnist", "'data.source' = 'mnist'", "'cifar10', 'digits' or 'folder'"),
    ("protocol", "fixed", "'protocol.base' = 'fixed'", "corrected, as-run"),
    ("protocol", {"augment": True}, "'protocol.base' = None", "corrected, as-run"),
    ("protocol", {"base": ["as-run"]}, "'protocol.base' = ['as-run']"),
    (
        "protocol",
        {"base": "as-run", "kl": "both"},
        "'protocol.kl' = 'both'",
        "'p_u' or 'u_p_over_e'",
    ),
    ("training.device", "tpu", "'training.device' = 'tpu'", "'auto', 'cpu' or 'cuda'"),
    ("training.precision", "fp16", "'training.precision' = 'fp16'", "'tf32' or 'bf16'"),
    ("training.compile", "yes", "'training.compile' = 'yes'", "True, False or 'auto'"),
    # wrong types
    ("training.learning_rate", "0.1", "'training.learning_rate' = '0.1'", "number"),
    ("training.learning_rate", True, "'training.learning_rate' = True", "number"),
    ("training.epochs", "3", "'training.epochs' = '3'", "integer"),
    ("training.epochs", True, "'training.epochs' = True", "integer"),
    ("training.epochs", 2.0, "'training.epochs' = 2.0", "integer"),
    ("heads.sparse.k", True, "'heads.sparse.k' = True", "integer"),
    ("training.nesterov", 1, "'training.nesterov' = 1", "boolean"),
    ("data.flip", "no", "'data.flip' = 'no'", "boolean"),
    ("heads", ["dense"], "'heads' = ['dense']", "mapping"),
    ("heads.dense", 3, "'heads.dense' = 3", "mapping"),
    ("backbone", "resnet18", "'backbone' = 'resnet18'", "mapping"),
    ("protocol", 3, "'protocol' = 3", "mapping"),
    ("seeds", 3, "'seeds' = 3", "list"),
    ("seeds", ["0"], "'seeds.0' = '0'", "integer"),
    # impossible values
    ("training.epochs", 0, "'training.epochs' = 0", ABOVE_0),
    ("training.epochs", -1, "'training.epochs' = -1", ABOVE_0),
    ("training.batch_size", 0, "'training.batch_size' = 0", ABOVE_0),
    ("training.threads", 0, "'training.threads' = 0", ABOVE_0),
    ("training.learning_rate", 0, "'training.learning_rate' = 0", ABOVE_0),
    ("training.learning_rate", float("inf"), "'training.learning_rate' = inf", "finite"),
    ("training.learning_rate", float("nan"), "'training.learning_rate' = nan", "finite"),
    ("training.schedule", {"kind": "onecycle", "warmup": 1}, "'training.schedule.warmup' = 1"),
    ("heads.sparse.k", 0, "'heads.sparse.k' = 0", ABOVE_0),
    ("heads.sparse.experts", 0, "'heads.sparse.experts' = 0", ABOVE_0),
    ("heads.sparse.experts", -8, "'heads.sparse.experts' = -8", ABOVE_0),
    ("heads.sparse.k", 9, "heads.sparse", "k = 9", "experts = 8"),
    ("heads.frozen", {"k": 3, "experts": 2}, "heads.frozen", "k = 3", "experts = 2"),
    ("heads.dense.dropout", 1.0, "'heads.dense.dropout' = 1.0", "less than 1"),
    ("heads.sparse.balance", {"kl": -0.1}, "'heads.sparse.balance.kl' = -0.1", "or equal to 0"),
    ("backbone.widths", [], "'backbone.widths'", "empty"),
    ("backbone.widths", [4, 0], "'backbone.widths.1' = 0", ABOVE_0),
    ("data.validation_share", 0, "'data.validation_share' = 0", ABOVE_0),
    ("data.validation_share", 1, "'data.validation_share' = 1", "less than 1"),
    ("data.test_share", 0.0, "'data.test_share' = 0.0", ABOVE_0),
    ("data.test_share", 1.0, "'data.test_share' = 1.0", "less than 1"),
    ("analyses.utilization", {"dead_below": 1}, "'analyses.utilization.dead_below' = 1", "less"),
    ("analyses.sharpness", {"images": 0}, "'analyses.sharpness.images' = 0", ABOVE_0),
    ("analyses.sharpness", {"average_draws": 1}, "'analyses.sharpness.average_draws' = 1", 2),
    ("analyses.surface", {"random_radii": [-1, 1]}, "analyses.surface.random_radii", "hold 0"),
    ("analyses.surface", {"plane_radii": [0]}, "analyses.surface.plane_radii", "ascend"),
    ("analyses.surface", {"plane_radii": [-1, 0, 2]}, "analyses.surface.plane_radii", "ascend"),
    ("heads", {}, "'heads'", "empty"),
    ("seeds", [], "'seeds'", "empty"),
    ("seeds", [-1], "'seeds.0' = -1", "or equal to 0"),
    ("seeds", [2**63], "'seeds.0' = 9223372036854775808", "less than"),
    ("seeds", [4, 3, 4, 3, 5], "seeds", "3, 4"),
    # what does not fit together
    ("data.test_share", GONE, "data", "test_share", "needed", "digits"),
    ("data", {"source": "cifar10", "test_share": 0.1}, "data", "test_share", "left out"),
    ("data", {"source": "folder", "test_share": 0.1}, "data", "root", "needed"),
    ("heads.soft", {"balance": {"load": 0.1}}, "heads.soft", "balance.load", "soft"),
    ("heads.soft", {"balance": {"switch": 0.1}}, "heads.soft", "balance.switch", "soft"),
    ("heads.soft", {"balance": {"bias_rate": 0.1}}, "heads.soft", "balance.bias_rate", "soft"),
    ("heads.switch", {"balance": {"load": 0.1}}, "heads.switch", "balance.load", "switch"),
    (
        *("heads.sparse", {"balance": {"load": 0.1, "bias_rate": 0.1}}),
        *("heads.sparse.balance.load", "protocol.load = 'smooth'", "selection bias"),
    ),
    ("training", {"epochs": 1, "nesterov": True, "momentum": 0}, "training", "nesterov"),
    ("training", {"epochs": 30}, "training", "schedule.milestones 30, 40", "30 epochs"),
    (
        *("training.schedule", {"kind": "multistep", "milestones": [50, 49, 60]}),
        *("training", "schedule.milestones 50, 60", "50 epochs"),
    ),
    ("training.precision", "tf32", "training", "precision tf32", "cuda", "cpu"),
    ("heads", {"a/b": {"kind": "dense"}}, "'a/b'", "name"),
    ("heads", {"..": {"kind": "dense"}}, "'..'", "name"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}={fault[1]}")
def test_a_fault_is_one_sentence_that_names_the_key_and_what_is_allowed(fault):
    place, value, *names = fault
    with refusal(ConfigError, "mine.yaml", *names) as error:
        parse_study(raw_with(place, value), source="mine.yaml")
    text = str(error.value)
    assert text.endswith((".", "?"))
    # One sentence: nothing of pydantic's own report, its links or the places it makes up.
    assert "\n" not in text and "pydantic" not in text and "tagged-union" not in text
    assert text.count("is not allowed") <= 1


@pytest.mark.parametrize("key", ["logit_dropout", "load", "gate_dropout"])
def test_a_smooth_load_is_refused_under_logit_dropout_and_only_there(key):
    sparse = {"kind": "sparse", "gate_dropout": 0.1, "balance": {"load": 0.1}}
    protocol = {"base": "corrected", "logit_dropout": True, "load": "smooth"}
    raw = raw_with("heads", {"mine": sparse}) | {"protocol": protocol}
    with refusal(ConfigError, "study", "heads.mine.balance.load", "logit dropout"):
        parse_study(raw)
    allowed = {"logit_dropout": False, "load": "importance", "gate_dropout": 0.0}
    (sparse if key in sparse else protocol)[key] = allowed[key]
    parse_study(raw)


def test_each_of_several_faults_gets_a_sentence():
    raw = raw_with("training", {"epochs": 0, "batch": 3})
    with refusal(ConfigError, "'training.epochs' = 0", "Unknown key 'training.batch'"):
        parse_study(raw)


@pytest.mark.parametrize("name", KINDS)
def test_a_place_is_named_right_where_a_head_bears_the_name_of_another_kind(name):
    raw = raw_with("heads", {name: {"kind": "switch", "temperature": -1}})
    with refusal(ConfigError, f"'heads.{name}.temperature' = -1", ABOVE_0):
        parse_study(raw)


@pytest.mark.parametrize("name", KINDS)
def test_a_head_that_is_named_after_a_kind_is_of_that_kind(name):
    other = "linear" if name != "linear" else "dense"
    for title in (name, f"{name}-large"):
        with refusal(ConfigError, f"heads.{title}.kind = '{other}'", f"'{name}'"):
            parse_study(raw_with("heads", {title: {"kind": other}}))
    parse_study(raw_with("heads", {f"{other}-{name}": {"kind": other}, "mine": {"kind": other}}))


def test_a_value_that_json_does_not_know_is_refused(tmp_path):
    path = save(tmp_path, "mine", "extends: quick\ndescription: 2026-01-21")
    with refusal(ConfigError, "mine.yaml", "2026-01-21", "date"):
        load_study(path)


def test_a_number_with_an_exponent_and_no_point_is_a_number(tmp_path):
    path = save(tmp_path, "mine", "extends: quick\ntraining: {learning_rate: 1e-1}")
    assert load_study(path).training.learning_rate == 0.1


def test_a_study_is_called_what_its_file_is_called(tmp_path):
    assert load_study(save(tmp_path, "mine", "extends: quick\nname: mine")).name == "mine"
    with refusal(ConfigError, "other.yaml", "'name' is 'mine'"):
        load_study(save(tmp_path, "other", "extends: quick\nname: mine"))


def test_refusing_leaves_the_raw_study_as_it_was():
    raw = copy.deepcopy(RAW)
    parse_study(raw)
    assert raw == RAW


def test_an_analysis_of_the_extended_study_can_be_left_out(tmp_path):
    save(tmp_path, "base", "extends: quick\nanalyses: {surface: {images: 10}}")
    path = save(tmp_path, "mine", "extends: base\nanalyses: {surface: null}")
    assert load_study(path).analyses.surface is None


def test_analyses_are_made_of_the_runs_that_they_suit():
    study = load_study("quick")
    names = ["utilization", "sharpness", "surface", "efficiency", "robustness", "gallery"]
    assert study.analyses_of("sparse", 0) == names
    assert study.analyses_of("dense", 0) == names[1:-1]
    assert study.analyses_of("dense", 1) == ["sharpness", "surface", "robustness"]
    without = parse_study(raw_with("analyses", {"sharpness": None}))
    assert without.analyses_of("sparse", 0) == ["utilization", "surface", "efficiency"]


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ({"batches": [0]}, ["'analyses.efficiency.batches.0' = 0", ABOVE_0]),
        ({"batches": [8, 8]}, ["batches", "twice"]),
        ({"compiled_batches": [8, 8]}, ["compiled_batches", "twice"]),
        ({"footprint_batches": [1, 1]}, ["footprint_batches", "twice"]),
        ({"batches": [8], "compiled_batches": [1]}, ["compiled_batches", "among batches"]),
        ({"repeats": 4}, ["'analyses.efficiency.repeats' = 4", 6]),
    ],
)
def test_impossible_timings_are_refused(sizes, names):
    with refusal(ConfigError, *names):
        parse_study(raw_with("analyses", {"efficiency": sizes}))


def test_a_study_of_modalities_is_refused_with_its_own_command():
    with refusal(ConfigError, "modalities/main", "-m moelib.modalities main"):
        load_study("modalities/main")
