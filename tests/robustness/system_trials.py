"""Trials with disks, users, servers and processes of this machine. `trials` runs them."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from PIL import Image

from stages.base import Postponed
from stages.llm.client import ChatClient
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Message, Sampling
from tests.support.fakes import Answer, draw, draw_sign, ita, ita_here
from tests.support.picture_server import serving
from tests.support.processes import find_descendants
from tests.support.trials import OCR, check_said, read_values


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """Mount a disk of this size."""
    disk = Path("disk").absolute()
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def full(chance: random.Random) -> None:
    """A disk that fills during a run: one sentence, and on a larger disk the run goes on without loss."""
    for number in range(8):
        draw_sign(Path(f"in/{number}.png"), f"NUMBER {number}")
    with small_disk(chance.randrange(4, 200, 4)) as disk:
        command = ["extract", "in", *OCR, "--workspace", str(disk)]
        check_said(ita(*command), 0, 3)
        before = dict(read_values(disk, "ocr"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        check_said(ita_here(*command), 0)
        after = dict(read_values(disk, "ocr"))
        assert len(after) == 8
        assert before.items() <= after.items()
        check_said(ita_here("cache", "verify", "--workspace", str(disk)), 0)


def readonly(chance: random.Random) -> None:
    """A workspace that an ordinary user can only read: reading commands work, and others end with one sentence."""
    for number in range(2):
        draw_sign(Path(f"in/{number}.png"), f"NUMBER {number}")
    check_said(ita_here("extract", "in", *OCR), 0)
    draw_sign(Path("in/2.png"), "NUMBER TWO")
    for path in (Path(), *Path().rglob("*")):
        os.chown(path, 65534, 65534)
        path.chmod(0o555 if path.is_dir() else 0o444)
    # Root without capabilities is an ordinary user, who may still read this checkout.
    ordinary = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    command = str(Path(sys.executable).parent / "ita")
    tried = [
        (["status", "in", *OCR], (0,)),
        (["why", "in/0.png", *OCR], (0,)),
        (["cache", "ls"], (0,)),
        (["cache", "verify"], (0,)),
        (["extract", "in", *OCR], (3,)),
        (["cache", "compact"], (0, 3)),
        (["cache", "gc", "--yes"], (0, 3)),
        (["report", "in", "--to", str(Path("page.html").absolute())], (2, 3)),
    ]
    for arguments, codes in chance.sample(tried, 4):
        ran = subprocess.run([*ordinary, command, *arguments], capture_output=True, text=True, check=False)
        check_said(Answer(ran.returncode, ran.stdout, ran.stderr), *codes)


def objects(chance: random.Random) -> None:
    """An object store that answers 503, hangs up during puts and gets, and loses objects between list and get."""
    from tests.support.s3_server import Fault, emptied, s3_server
    from tests.support.shared_cache import draw_signs, extract

    draw_signs(3)
    with s3_server() as server:
        emptied()
        for _ in range(4):
            workspace = chance.choice(["one", "two"])
            for _ in range(chance.randrange(3)):
                kind, method = chance.choice([("503", ""), ("cut put", "PUT"), ("cut get", "GET"), ("404", "GET")])
                times = chance.choice([1, 2, 1000])
                server.faults.append(Fault(kind, method, "ita-cache", times, after=chance.randrange(6)))
            answer = extract(workspace)
            # The server reports a request that broke off to the same stream.
            noise = re.compile(r"Error on request:\n.*?\nAssertionError: [^\n]*\n", re.DOTALL)
            check_said(replace(answer, err=noise.sub("", answer.err)), 0, 1, 3, 4)
            server.faults.clear()
        for workspace in ("one", "two"):
            check_said(extract(workspace), 0)
            check_said(ita_here("cache", "verify", "--workspace", workspace), 0)
        values = [dict(read_values(Path(workspace), "ocr")) for workspace in ("one", "two")]
        assert values[0] == values[1]
        assert len(values[0]) == 3


def tls(chance: random.Random) -> None:
    """Servers with certificates that are expired, of another name, or of no known authority: nothing is sent."""
    kind = chance.choice(["of no known authority", "expired", "of another name"])
    name = "DNS:other.example" if kind == "of another name" else "IP:127.0.0.1"
    create = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "request.pem",
    ]
    subprocess.run(
        [*create, "-subj", "/CN=x", "-addext", f"subjectAltName={name}"], check=True, capture_output=True
    )
    sign = ["openssl", "x509", "-req", "-in", "request.pem", "-signkey", "key.pem", "-out", "cert.pem"]
    sign += ["-copy_extensions", "copy", "-days", "-1" if kind == "expired" else "2"]
    subprocess.run(sign, check=True, capture_output=True)
    with serving({"a.jpg": b"picture"}) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("cert.pem", "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        address = server.url("a.jpg").replace("http://", "https://")
        Path("list.txt").write_text(f"{address}\n")
        check_said(ita_here("extract", "list.txt", *OCR), 1)
        endpoint = Endpoint(url=address, model="m", tries=1)
        (outcome,) = ChatClient(endpoint, Sampling(max_tokens=5)).ask([[Message("user", "hi")]])
        assert isinstance(outcome, Postponed), outcome
        assert server.asked == []


def cluster(chance: random.Random) -> None:
    """Actors, raylets or the driver of a cluster killed midway: a later run leaves the records of a calm one."""
    for number in range(16):
        draw_sign(Path(f"in/{number}.png"), f"NUMBER {number}")
    command = [str(Path(sys.executable).parent / "ita"), "extract", "in", *OCR, "--engine", "ray", "--actors", "2"]
    victim = chance.choice(["ray::MapWorker", "ray::DashboardAgent", "raylet", "gcs_server", "driver"])
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 300
    try:
        while not find_descendants(driver.pid, "engines.worker") and driver.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(chance.uniform(0, 2))
        for pid in [driver.pid] if victim == "driver" else find_descendants(driver.pid, victim)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _, said = driver.communicate(timeout=300)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    print(f"cluster: {victim} killed, exit code {driver.returncode}", said.splitlines()[-2:], flush=True)
    if victim != "driver":
        check_said(Answer(driver.returncode, "", said), 0, 1, 3)
    before = dict(read_values(Path(), "ocr"))
    check_said(ita_here("extract", "in", *OCR), 0)
    after = dict(read_values(Path(), "ocr"))
    assert before.items() <= after.items()
    check_said(ita_here("extract", "in", *OCR, "--workspace", "calm"), 0)
    assert after == dict(read_values(Path("calm"), "ocr"))
    assert len(after) == 16
    check_said(ita_here("cache", "verify"), 0)


def memory(chance: random.Random) -> None:
    """Large images: the memory of all processes together stays below 2.5 GB on two cores."""
    examples = sorted(Path(__file__).parents[2].glob("examples/posts/images/*"))
    for number, file in enumerate(chance.sample(examples, 8)):
        with Image.open(file) as image:
            scale = math.sqrt(39_500_000 / (image.width * image.height))
            large = image.convert("RGB").resize((int(image.width * scale), int(image.height * scale)))
        draw(Path(f"in/{number}.jpg"))
        large.save(f"in/{number}.jpg")
    command = [str(Path(sys.executable).parent / "ita"), "extract", "in", "--preset", "bundled", "--quiet"]
    running, peak = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), 0
    while running.poll() is None:
        peak = max(peak, sum(map(_read_private_bytes, [running.pid, *find_descendants(running.pid, "")])))
        time.sleep(0.02)
    print(f"memory: at most {peak / 1e6:,.0f} MB in all", flush=True)
    assert running.returncode == 0
    assert peak < 2.5e9


def _read_private_bytes(pid: int) -> int:
    """Return the memory that a process shares with no file; 0 if it has ended."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
