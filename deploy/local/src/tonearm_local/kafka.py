"""Kafka in KRaft mode: one node that is broker and controller, its log on disk."""

import secrets
import sys
from pathlib import Path

from tonearm_local import artifacts, environment, java, probes
from tonearm_local.component import Command, Component, Run
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT

_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


def properties(settings: LocalSettings, data: Path) -> str:
    """server.properties of a single small node; sizes are for a laptop, not for production."""
    broker, controller = settings.kafka_port, settings.kafka_controller_port
    # A backslash would be an escape in a properties file; spaces are taken as they are.
    folder = str(data).replace("\\", "\\\\")
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}
auto.create.topics.enable=false
num.partitions=4
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
log.segment.bytes=67108864
log.retention.hours=168
message.max.bytes=1048588
"""


def component(settings: LocalSettings) -> Component:
    """The broker, formatted on its first start; topics are made once it answers."""
    base = settings.path("kafka")
    data, config = base / "data", base / "server.properties"

    def command(*main: str) -> Command:
        archive = base / f"{main[0].rpartition('.')[2]}.jsa"
        class_path = ":".join(str(path) for path in artifacts.class_path("kafka"))
        argv = [
            *java.launcher(settings, heap_mib=settings.kafka_heap_mib, archive=archive),
            f"-Dlog4j2.configurationFile={(base / 'log4j2.properties').as_uri()}",
            "-cp",
            class_path,
            *main,
        ]
        return Command(argv, environment.child({}), base)

    async def prepare(run: Run) -> None:
        base.mkdir(parents=True, exist_ok=True)
        config.write_text(properties(settings, data), "utf-8")
        (base / "log4j2.properties").write_text(_LOG4J, "utf-8")
        if not (data / "meta.properties").exists():
            # The letter in front: an id that starts with a dash would be read as an option.
            cluster_id = f"T{secrets.token_urlsafe(16)[1:]}"
            arguments = ("format", "--cluster-id", cluster_id, "--config", str(config))
            await run(command("kafka.tools.StorageTool", *arguments))

    async def ready() -> bool:
        return await probes.kafka_ok("127.0.0.1", settings.kafka_port)

    async def finish(run: Run) -> None:
        await run(create_topics(settings))

    return Component(
        name="kafka",
        command=lambda: command("kafka.Kafka", str(config)),
        ready=ready,
        prepare=prepare,
        finish=finish,
        ports=settings.ports()["kafka"],
        url=settings.local_kafka,
        stop_s=30.0,  # it writes its class-data archive at the end
    )


def create_topics(settings: LocalSettings) -> Command:
    """Make the topics that are missing, on whichever Kafka the settings name."""
    argv = [sys.executable, "-m", "tonearm_kit.kafka.topics", "create"]
    return Command(argv, environment.child(environment.shared(settings)), ROOT)
