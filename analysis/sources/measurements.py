"""Single measurements of OONI, by their uid, with the flags that OONI gave them.

``https://api.ooni.io/api/v1/measurement_meta?measurement_uid=…&full=true`` sends the flags and, as
a string, the measurement as the probe submitted it (ooni/backend,
``oonimeasurements/routers/v1/measurements.py``). If OONI does not know the uid, or does not find
the measurement in its archive, the string is empty and the status 200. Each reply costs the time
that OONI takes to unpack an object of its archive, of which each client has some 40 seconds an
hour. So one measurement is asked for at a time. A reply that holds a measurement is kept as it was
received, and is never asked for again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from analysis.errors import ContractError, SourceError
from analysis.sources.api import ask, keep_reply, list_urls, read_reply
from analysis.sources.archive_files import lock_folder
from analysis.sources.web import Limits, Server

Flag = Literal["ok", "anomaly", "confirmed", "failure"]
Step = Callable[[int, int, str], None]


class Measurement(msgspec.Struct, frozen=True):
    """A measurement as OONI sends it, without its other fields.

    Attributes:
        raw_measurement: the JSON that the probe submitted; empty if OONI has none.
    """

    raw_measurement: str
    measurement_uid: str = ""
    anomaly: bool = False
    confirmed: bool = False
    failure: bool = False

    @property
    def flag(self) -> Flag:
        """The flag under which OONI counts the measurement."""
        if self.failure:
            return "failure"
        return "confirmed" if self.confirmed else "anomaly" if self.anomaly else "ok"


def fetch_measurements(
    folder: Path, uids: Sequence[str], step: Step
) -> tuple[dict[str, Measurement], SourceError | None]:
    """Fetch measurements that are not kept yet, one request at a time.

    After an error nothing more is asked for, and the measurements that are kept are still returned.

    Args:
        folder: of the kept replies; made if it does not exist.
        uids: of the measurements.
        step: called with the number of measurements that are there, of all, and the next uid.

    Returns:
        uid → measurement, with those of which OONI has none; and the error, if there was one.

    Raises:
        SourceError: replies cannot be kept in the folder.
        ContractError: a reply is of another measurement, or has another shape; it is not kept.
    """
    measurements: dict[str, Measurement] = {}
    trouble: SourceError | None = None
    server = Server("judges measurements that OONI labelled", limits=Limits(silence=90.0))
    with lock_folder(folder, "reply can be kept in"):
        for uid in uids:
            step(len(measurements), len(uids), uid)
            kept = read_reply(folder, _file(uid))
            if kept:
                measurements[uid] = _read(kept[0], uid)
            elif not trouble:
                try:
                    measurements[uid] = _fetch(folder, uid, server)
                except SourceError as error:
                    trouble = error
    return measurements, trouble


def _fetch(folder: Path, uid: str, server: Server) -> Measurement:
    urls = list_urls(f"measurement_meta?measurement_uid={uid}&full=true")
    body, url = ask(urls, server, "raw_measurement", "measurement")
    measurement = _read(body, uid)
    if measurement.raw_measurement:
        keep_reply(folder, _file(uid), body, url, "measurement with OONI's flags")
    return measurement


def _file(uid: str) -> str:
    return f"measurement_meta/{uid}.json"


def _read(body: bytes, uid: str) -> Measurement:
    try:
        measurement = msgspec.json.decode(body, type=Measurement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"OONI's measurement {uid} has another shape: {error}") from None
    if measurement.raw_measurement and measurement.measurement_uid != uid:
        raise ContractError(f"OONI sent {measurement.measurement_uid} in place of {uid}")
    return measurement
