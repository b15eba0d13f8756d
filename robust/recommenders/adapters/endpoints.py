"""Endpoints that somebody else runs: KServe v2, TF Serving's REST predict, and any JSON (docs/your-model.md)."""

from robust.recommenders.adapters.http.any_json import JsonAdapter
from robust.recommenders.adapters.http.kserve import KServeAdapter
from robust.recommenders.adapters.http.tf_serving import TFServingAdapter

__all__ = ["JsonAdapter", "KServeAdapter", "TFServingAdapter"]
