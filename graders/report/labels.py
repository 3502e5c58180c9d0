"""The section about the agreement of rewards with labels."""

from __future__ import annotations

from collections.abc import Iterable

from graders.report.charts import reliability_diagram
from graders.report.format import figure, interval, percent
from graders.report.html import figures, safe, section
from graders.stats.agreement.labels import Agreement
from graders.stats.agreement.thresholds import ThresholdCounts
from graders.wording import plural


def labels(agreed: Agreement) -> Iterable[str]:
    missing = f"; {agreed.unlabelled:,} scored rows have none" if agreed.unlabelled else ""
    about = f"Field <code>{safe(agreed.field)}</code>, {plural(agreed.n, 'label')}{missing}."
    if agreed.agreement is not None and agreed.kappa is not None:
        how = (
            "No threshold is given, so each half of the items is judged at the threshold that is best on the other half"
            if agreed.fitted
            else "At the grader's own threshold"
        )
        about += (
            f" {how}: agreement {figure(agreed.agreement.value)} {interval(agreed.agreement)}, "
            f"kappa {figure(agreed.kappa.value)} {interval(agreed.kappa)}."
        )
    yield section("Agreement with labels", about)
    correlations = [
        ("correlation", figure(agreed.correlation)),
        ("rank correlation", figure(agreed.rank_correlation)),
    ]
    scores = (("AUROC", agreed.auroc), ("Brier score", agreed.brier))
    correlations += [
        (name, f"{figure(found.value)} {interval(found)}") for name, found in scores if found is not None
    ]
    if agreed.weighted_kappa is not None:
        correlations.append(("weighted kappa (quadratic)", figure(agreed.weighted_kappa)))
    cut = agreed.cut
    if cut is None:
        yield f'<div class="card">{figures(correlations)}</div></section>'
        return
    counts = (
        '<tbody><tr><th scope="row">label yes</th>'
        f'<td><span>agree</span><b id="both">{cut.both:,}</b></td>'
        f'<td class="off"><span>failed wrongly</span><b id="missed">{cut.only_human:,}</b></td></tr>'
        '<tr><th scope="row">label no</th>'
        f'<td class="off"><span>passed wrongly</span><b id="wrongly">{cut.only_grader:,}</b></td>'
        f'<td><span>agree</span><b id="neither">{cut.neither:,}</b></td></tr></tbody>'
    )
    head = (
        '<thead><tr><td></td><th scope="col">grader passes</th><th scope="col">grader fails</th></tr></thead>'
    )
    yield f'<div class="card halves"><div><table class="confusion">{head}{counts}</table></div><div>'
    # two thresholds leave nothing to choose
    if len(agreed.curve) > 2:
        yield _slider(agreed, cut)
    facts = [
        (
            "agreement at this threshold",
            f'<span id="agreed">{percent((cut.both + cut.neither) / agreed.n)}</span>',
        ),
        ("kappa at this threshold", f'<span id="kappa">{figure(cut.kappa)}</span>'),
        *correlations,
    ]
    items = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    yield f'<dl class="facts">{items}</dl></div>'
    if len(agreed.bins) > 1:
        span = min(0.0, agreed.bins[0].low), max(1.0, agreed.bins[-1].high)
        yield f"<div><h3>Reliability diagram</h3>{reliability_diagram(agreed.bins, span)}</div>"
    yield "</div></section>"


def _slider(agreed: Agreement, cut: ThresholdCounts) -> str:
    """A slider for the threshold, above the curve of kappa."""
    curve = agreed.curve
    return (
        f'<label class="small soft" for="cut">Passes from reward <b id="cut-at">{figure(cut.threshold)}</b> on</label>'
        f'<input class="slider" id="cut" type="range" min="0" max="{len(curve) - 1}" value="{cut_index(agreed)}">'
        '<svg class="chart low" id="kappas" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        'aria-label="Kappa at each threshold"></svg>'
        f'<div class="axis"><span>{curve[0][0]:.3g}</span><span>kappa at each threshold, 0 to 1</span>'
        f"<span>{curve[-1][0]:.3g}</span></div>"
        f'<p class="small soft">It starts at {safe(agreed.chosen)}{", which flatters it" * agreed.fitted}. '
        '<button class="quiet" id="cut-reset" type="button">back there</button></p>'
    )


def cut_index(agreed: Agreement | None) -> int:
    """The index of the chosen threshold in the curve, or of the next one above it."""
    if agreed is None or agreed.cut is None:
        return 0
    at = [threshold for threshold, *_ in agreed.curve]
    return next(
        (place for place, threshold in enumerate(at) if threshold >= agreed.cut.threshold), len(at) - 1
    )
