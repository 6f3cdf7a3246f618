"""Writes the snippets of docs/gateway.md to a folder, with the address of the gateway, and runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"
RUN = {"sh": ("sh", ["bash", "-e"]), "python": ("py", [sys.executable]), "js": ("mjs", ["node"])}


def main(folder):
    failed = 0
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    for number, (language, text) in enumerate(blocks):
        if language not in RUN or "127.0.0.1:8080" not in text:
            continue
        extension, command = RUN[language]
        file = Path(folder) / f"snippet-{number}.{extension}"
        file.write_text(text.replace("http://127.0.0.1:8080", os.environ["GATEWAY"]))
        ended = subprocess.run([*command, file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        failed += ended.returncode != 0
        print(f"{'failed' if ended.returncode else 'ok':6} snippet {number} ({language}): {ended.stdout.strip()[-300:]}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
