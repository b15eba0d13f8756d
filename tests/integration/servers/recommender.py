"""A small recommender behind HTTP, as a company might run it: KServe v2, TF Serving's predict, and JSON of its own.

    python recommender.py PORT N_ITEMS [CERTIFICATE_AND_KEY]

`POST /_fault` makes the next answers go wrong; `GET /_seen` tells what was asked. Items are 1…N_ITEMS.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from numpy.typing import NDArray


class Model:
    """Scores from the last three items, by a table that anybody can compute from the seed."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items
        self.table = np.random.default_rng(7).normal(size=(n_items + 1, n_items + 1)).astype(np.float32)

    def score(self, sequence: list[int]) -> NDArray[np.float32]:
        """float32 [n_items + 1]; column 0 stands for padding."""
        total = np.zeros(self.n_items + 1, np.float32)
        for weight, item in zip((1.0, 0.5, 0.25), [i for i in sequence if i][::-1], strict=False):
            total += np.float32(weight) * self.table[item]
        return total

    def best(self, sequence: list[int], k: int) -> list[int]:
        """The k items with the highest scores."""
        return [int(place) + 1 for place in np.argsort(-self.score(sequence)[1:], kind="stable")[:k]]


def build(n_items: int) -> FastAPI:
    """The server."""
    app, model = FastAPI(), Model(n_items)
    seen: dict[str, Any] = {"bodies": [], "headers": [], "times": [], "now": 0, "most": 0}
    fault: dict[str, Any] = {"kind": "", "count": 0}

    @app.post("/_fault")
    async def set_fault(request: Request) -> dict[str, Any]:
        fault.clear()
        fault.update(await request.json())
        seen.update(bodies=[], headers=[], times=[], most=0)
        return fault

    @app.get("/_seen")
    async def what_was_seen() -> dict[str, Any]:
        return seen

    async def faulty() -> Response | None:
        if fault.get("count", 0) <= 0 or fault["kind"] == "die":
            return None
        fault["count"] -= 1
        kind = str(fault["kind"])
        if kind == "stall":
            await asyncio.sleep(fault["seconds"])
            return None
        if kind == "huge":
            return PlainTextResponse("[" + "0," * 200_000 + "0]", media_type="application/json")
        if kind == "bomb":
            packed = gzip.compress(b" " * 5_000_000)
            return Response(packed, media_type="application/json", headers={"Content-Encoding": "gzip"})
        if kind in ("trickle", "cut"):
            promised = {"Content-Length": "1000"} if kind == "cut" else {}
            return StreamingResponse(drops(kind), media_type="application/json", headers=promised)
        if kind == "deep":
            return PlainTextResponse("[" * 200_000, media_type="application/json")
        if kind == "html":
            return HTMLResponse("<html><script>alert(1)</script>Down for\nmaintenance</html>")
        if kind == "redirect":
            return RedirectResponse(str(fault.get("to", "http://elsewhere.invalid/steal?x=1")))
        if kind == "garbled":
            return Response(b"no gzip", media_type="application/json", headers={"Content-Encoding": "gzip"})
        if kind == "echo":
            return PlainTextResponse(str(seen["headers"][-1]), status_code=fault.get("status", 400))
        headers = {"Retry-After": fault["after"]} if "after" in fault else {}
        return PlainTextResponse("no", status_code=int(kind), headers=headers)

    async def drops(kind: str) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" "
            await asyncio.sleep(0.1 if kind == "trickle" else 0)

    async def noted(request: Request) -> Any:
        if fault["kind"] == "die":
            fault["count"] -= 1
            if fault["count"] < 0:
                os._exit(1)
        body = await request.json()
        seen["bodies"].append(body)
        seen["headers"].append(dict(request.headers))
        seen["times"].append(time.monotonic())
        return body

    @app.middleware("http")
    async def count(request: Request, call: Any) -> Any:
        if request.method == "GET" or request.url.path.startswith("/_"):
            return await call(request)
        seen["now"] += 1
        seen["most"] = max(seen["most"], seen["now"])
        try:
            return await call(request)
        finally:
            seen["now"] -= 1

    def spoiled(rows: list[list[float]]) -> list[list[float]]:
        if fault.get("wrong") == "nan":
            rows[0][-1] = math.nan
        if fault.get("wrong") == "fewer":
            rows.pop()
        if fault.get("wrong") == "short":
            rows[0] = rows[0][:2]
        return rows

    def loosely(content: Any) -> Response:
        return Response(json.dumps(content), media_type="application/json")  # NaN as Python writes it

    @app.get("/v2/models/ranker")
    @app.get("/v2/models/ranker/versions/1")
    async def metadata() -> dict[str, Any]:
        return {
            "name": "ranker",
            "versions": ["1"],
            "platform": "test",
            "inputs": [{"name": "history", "datatype": "INT64", "shape": [-1, 8]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, n_items + 1]}],
        }

    @app.post("/v2/models/ranker/infer")
    @app.post("/v2/models/ranker/versions/1/infer")
    async def infer(request: Request) -> Response:
        body = await noted(request)
        if (wrong := await faulty()) is not None:
            return wrong
        (tensor, *_) = body["inputs"]
        assert tensor["datatype"] == "INT64"
        rows = np.array(tensor["data"]).reshape(tensor["shape"]).tolist()
        scores = spoiled([model.score(row).tolist() for row in rows])
        lists = [model.best(row, 20) for row in rows]
        outputs = {
            "logits": {
                "datatype": "FP32",
                "shape": [len(rows), n_items + 1],
                "data": [v for row in scores for v in row],
            },
            "top": {"datatype": "INT64", "shape": [len(rows), 20], "data": [v for row in lists for v in row]},
        }
        named = [one["name"] for one in body["outputs"]]
        return loosely({"model_name": "ranker", "outputs": [{"name": name, **outputs[name]} for name in named]})

    @app.post("/v1/models/ranker:predict")
    async def predict(request: Request) -> Response:
        body = await noted(request)
        if (wrong := await faulty()) is not None:
            return wrong
        if "instances" in body:
            rows = [row["history"] if isinstance(row, dict) else row for row in body["instances"]]
            if body.get("signature_name") == "top":
                return loosely({"predictions": [{"ids": model.best(row, 20)} for row in rows]})
            return loosely({"predictions": spoiled([model.score(row).tolist() for row in rows])})
        return loosely({"outputs": {"logits": [model.score(row).tolist() for row in body["inputs"]["history"]]}})

    @app.post("/recommend")
    async def recommend(request: Request) -> Response:
        """Ids are text here, `sku-17`; the best come last, so that only the scores tell the order."""
        body = await noted(request)
        if (wrong := await faulty()) is not None:
            return wrong
        answers = []
        for user in body["users"]:
            history = [int(one.removeprefix("sku-")) for one in user["history"]]
            best = model.best(history, body["top"])[::-1]
            scores = model.score(history)
            answers.append({"hits": [{"sku": f"sku-{item}", "score": float(scores[item])} for item in best]})
        if fault.get("wrong") == "short":
            answers[0]["hits"].pop()
        if fault.get("wrong") == "unknown":
            answers[0]["hits"][0]["sku"] = "=cmd()\nx"
        return JSONResponse({"result": answers})

    @app.post("/one")
    async def one(request: Request) -> Response:
        """One user a request; items are numbered from 0."""
        body = await noted(request)
        if (wrong := await faulty()) is not None:
            return wrong
        scores = model.score([item + 1 for item in body["history"]])[1:].tolist()
        if fault.get("wrong") == "drift":
            scores[len(seen["bodies"]) % n_items] += 50
        return loosely({"scores": scores})

    return app


if __name__ == "__main__":
    port, size, *certificate = sys.argv[1:]
    uvicorn.run(
        build(int(size)),
        host="127.0.0.1",
        port=int(port),
        log_level="critical",
        access_log=False,
        ssl_certfile=certificate[0] if certificate else None,
    )
