"""A picture of the figures: ROC curves on the left, reliability on the right."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atlas.assessors.evaluate.figures import Figures, curve
from atlas.assessors.evaluate.judged import Judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot(path: Path, sets: Sequence[tuple[Figures, Sequence[Judged]]], *, title: str) -> None:
    """Write a PNG; raises ImportError where matplotlib is not installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    roc, reliability = figure.subplots(1, 2)
    for figures, judged in sets:
        if (points := curve(judged)) is not None:
            roc.plot(*points, label=f"{figures.name}, AUROC {figures.auroc:.2f}")
        if figures.safe and figures.risky:
            bins = figures.reliability
            reliability.plot(
                [each.score for each in bins], [each.risky * 100 for each in bins], "o-", label=figures.name
            )
    _explain(roc, ("Share of benign calls taken for risky", "Share of risky calls found"), end=1)
    _explain(reliability, ("Score", "Share of risky calls (%)"), end=100)
    figure.savefig(path, format="png", dpi=120)


def _explain(axes: "Axes", labels: tuple[str, str], *, end: int) -> None:
    axes.plot([0, end], [0, end], color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
