"""The board of the objectives, and of what is wrong now."""

from ops.monitoring.objectives import OBJECTIVES, Objective
from ops.monitoring.panels import HERE, Board, Panel, Query, of, quantiles, rate
from shared import metrics


def _objective(each: Objective) -> tuple[Panel, ...]:
    left = f"1 - max({each.ratio('30d')}{{{HERE}}}) / {each.budget}"
    windows = ("5m", "1h", "6h", "3d")
    burning = tuple(Query(f"max({each.ratio(window)}{{{HERE}}})", window) for window in windows)
    return (
        Panel(
            f"Budget left: {each.title}",
            "number",
            "percentunit",
            (Query(left, "of 30 days"),),
            6,
            (each.alert,),
            meaning=f"{each.target:.1%}: {each.meaning}. 100 %: no error in 30 days; below 0: the objective is missed.",
        ),
        Panel(
            f"Errors: {each.title}",
            "lines",
            "percentunit",
            burning,
            18,
            (each.alert,),
            each.budget,
            "Share of errors by window. The line is what would use up the budget in exactly 30 days.",
        ),
    )


OVERVIEW = Board(
    "overview",
    "Carteiro: overview",
    "Does mail flow, and are the objectives kept? Each objective with what is left of its budget.",
    (
        (
            "Mail",
            (
                Panel(
                    "Mail in and out",
                    "lines",
                    "ops",
                    (
                        Query(rate(metrics.messages_fetched, "protocol"), "fetched, {{protocol}}"),
                        Query(rate(metrics.processed, "outcome") + " > 0", "{{outcome}}"),
                        Query(rate(metrics.smtp_attempts, "result", result="accepted"), "sent"),
                    ),
                    12,
                    ("CarteiroPipelineSilent",),
                ),
                Panel(
                    "Mail to ticket",
                    "lines",
                    "s",
                    quantiles(metrics.mail_to_ticket, origin="live"),
                    12,
                    limit=60,
                    meaning="Live mail, from its arrival at its server to the commit of its ticket or article.",
                ),
            ),
        ),
        *((f"Objective: {each.title}", _objective(each)) for each in OBJECTIVES),
        (
            "Processes",
            (
                Panel(
                    "Processes",
                    "lines",
                    "short",
                    (Query(f"count by (version) ({of(metrics.build_info)})", "{{version}}"),),
                    12,
                    ("CarteiroMetricsAbsent",),
                ),
                Panel(
                    "Desk in use",
                    "lines",
                    "short",
                    (
                        Query(f"count by (sha256) ({of(metrics.desk_info)})", "{{sha256}}"),
                        Query(f"count({of(metrics.desk_reload_successful)} == 0)", "refused the last change"),
                    ),
                    12,
                    ("CarteiroDeskReloadFailed",),
                ),
            ),
        ),
    ),
)
