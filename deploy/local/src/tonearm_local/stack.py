"""Which components this configuration runs."""

from collections.abc import Sequence

from tonearm_local import envoy, kafka, postgres, services, zipkin
from tonearm_local.component import Component
from tonearm_local.settings import SERVICES, LocalSettings

INFRASTRUCTURE = ("kafka", "postgres", "zipkin")


def components(
    settings: LocalSettings, *, infra_only: bool = False, without: Sequence[str] = ()
) -> list[Component]:
    """The components to run; those that the settings point elsewhere are left out."""
    chosen: list[Component] = []
    if settings.kafka_is_local:
        chosen.append(kafka.component(settings))
    if settings.postgres_is_local:
        chosen.append(postgres.component(settings))
    if settings.zipkin_is_local:
        chosen.append(zipkin.component(settings))
    if not infra_only:
        chosen.append(envoy.component(settings))
        chosen += [services.component(settings, name) for name in SERVICES]
    return [component for component in chosen if component.name not in without]
