"""Events over Kafka: producer, consumer runner, topics."""

from tonearm_kit.kafka.context import current_event
from tonearm_kit.kafka.effects import BatchHandler, Handler, JobHandler, StatementHandler
from tonearm_kit.kafka.failures import Poison, Retry
from tonearm_kit.kafka.headers import decode
from tonearm_kit.kafka.options import BrakeSettings, RetryPolicy, RunnerSettings
from tonearm_kit.kafka.ports import BrokerError, OutRecord
from tonearm_kit.kafka.producer import KafkaProducer
from tonearm_kit.kafka.runner import ConsumerRunner, StartTimeout

__all__ = [
    "BatchHandler",
    "BrakeSettings",
    "BrokerError",
    "ConsumerRunner",
    "Handler",
    "JobHandler",
    "KafkaProducer",
    "OutRecord",
    "Poison",
    "Retry",
    "RetryPolicy",
    "RunnerSettings",
    "StartTimeout",
    "StatementHandler",
    "current_event",
    "decode",
]
