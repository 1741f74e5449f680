"""What is seen of an installation from outside: objectives, alerts, dashboards. Rendered by `make pages`.

Names of metrics are attributes of `shared.metrics`, written out nowhere else: a misspelt one is a type error, a label
that its metric has not is refused when the rules are rendered.
"""
