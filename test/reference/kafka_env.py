"""Connection settings of kafka-python's clients, from the environment variables that Potok takes them from as well."""

import os

USERS_TOPIC = "CorpAppsTopic"
EVENTS_TOPIC = "test"


def client_config():
    """Returns the keyword arguments with which a kafka-python client reaches the brokers."""
    config = {
        "bootstrap_servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092").split(","),
        "security_protocol": os.environ.get("KAFKA_SECURITY_PROTOCOL") or "PLAINTEXT",
    }
    if config["security_protocol"].startswith("SASL_"):
        config["sasl_mechanism"] = os.environ.get("KAFKA_SASL_MECHANISM") or "SCRAM-SHA-256"
        config["sasl_plain_username"] = os.environ["KAFKA_SASL_USERNAME"]
        config["sasl_plain_password"] = os.environ["KAFKA_SASL_PASSWORD"]
    if config["security_protocol"].endswith("SSL") and os.environ.get("POTOK_TLS_CA_FILE"):
        config["ssl_cafile"] = os.environ["POTOK_TLS_CA_FILE"]
    return config


def add_topic_arguments(parser):
    parser.add_argument("--users-topic", default=USERS_TOPIC, metavar="TOPIC")
    parser.add_argument("--events-topic", default=EVENTS_TOPIC, metavar="TOPIC")
