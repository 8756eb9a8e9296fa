"""What a study is, in words, and links to the notebooks that were executed."""

import pandas as pd
from IPython.display import Markdown

from moelib.report import loading, pages
from moelib.study.reader import STUDIES, load_study
from moelib.study.run import results_root
from moelib.study.study import Study


def description(study: Study) -> Markdown:
    """What a study is, in the words of its file, which may have changed, and where that is."""
    if (STUDIES / f"{study.name}.yaml").is_file():
        study = load_study(study.name)
    return Markdown(f"{study.description} See `studies/{study.name}.yaml`.")


def executed_notebooks() -> Markdown:
    """Links to the pages of executed notebooks, a row for each run and a column for each kind."""
    links: dict[tuple[str, ...], list[str]] = {}
    for path, _ in loading.executed_notebooks():
        *study, head, seed = path.relative_to(results_root()).parent.parts
        to = "/".join(["../notebooks", *study, head, seed, f"{path.stem}.html"])
        run = f"`{'/'.join(study)}`", head, seed[5:]
        links.setdefault(run, []).append(f'<a href="{to}">{path.stem}</a>')
    frame = pd.DataFrame(
        [(*run, " ".join(notebooks)) for run, notebooks in links.items()],
        columns=["study", "head", "seed", "notebooks"],
    )
    return pages.table(frame, {name: (name.capitalize(), "") for name in frame}, longest=len(frame))
