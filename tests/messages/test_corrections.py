"""Messages of ``hangtag corrections``: errors, warnings and results."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages
from tests.unit.trainer.corrections.some_results import finished

A, B, C = "a" * 64, "b" * 64, "c" * 64
HEAD = "image,sha256,label,was,reviewer,model,at"
STORE = f"""{HEAD},remark,note
/photos/1.jpg,{A},boots,hats,anna,shop@3,2026-05-01T12:00:00Z,,worn
/photos/1.jpg,{A},hats,,bob,,2026-05-02T12:00:00Z,,
/photos/2.jpg,{B},hats,,anna,,2026-05-03T12:00:00Z,,
/photos/3.jpg,{C},,,anna,,2026-05-03T12:00:00Z,not_a_product,
"""
FILES = {
    "no answer": f"row,correct_label,label,top_k,image,sha256\n1,,boots,boots 0.40,1.jpg,{A}\n",
    "bad rows": f"{HEAD}\n,abc,hats,,anna,,\n,,hats,,anna,,\n,{A},,,anna,,\n,{A},hats,,anna,,soon\n,{A},hats,,,,\n"
    f',{A},hats,,anna,,2999-01-01\n,{A},"ha\nts",,anna,,\n',
    "no label": "image,name\n1.jpg,x\n",
    "a copied review list of a question": f"colour_correct_label,colour_label,colour_sha256\nblue,blue,{A}\n",
    "no photo": "name,label\nx,hats\n",
    "a cell without its sha256": 'image,label\n"data:,x",hats\n',
    "a typing error": f"sha256,label\n{A},boot\n{B},?\n",
    "a path": f"sha256,label\n{A},Coats > Parkas\n",
    "a picture twice": f"image,sha256,label\n/gone/0.jpg,{'d' * 64},boots\n/gone/0.jpg,{'d' * 64},boots\n",
    "other capitals": f"sha256,label\n{B},Hats\n",
    "answers": f"image,sha256,label\n/gone/1.jpg,{B},boots\n/gone/2.jpg,,hats\n",
}


def test_what_corrections_says(tmp_path: Path) -> None:
    outputs: dict[str, str] = {}
    store = tmp_path / "corrections.csv"

    def run(title: str, *words: object) -> None:
        where = () if "--corrections" in words else ("--corrections", store)
        done = run_hangtag("corrections", *words, *where, env=clean_environment(COLUMNS="200"))
        outputs[f"{title}: {done.returncode}"] = f"{done.stdout}\n{done.stderr}"

    run("list: there is no file", "list")
    run("apply: there is no file", "apply", finished(tmp_path / "job").result)
    own = tmp_path / "corrections-colour.csv"
    own.touch()
    run("list: a question has its own file", "list")
    own.unlink()
    store.write_text(STORE)
    run("list", "list")
    for title, text in FILES.items():
        file = tmp_path / "file.csv"
        file.write_text(text)
        os.utime(file, (1_780_000_000, 1_780_000_000))
        reviewer = () if title == "bad rows" else ("--reviewer", "bob")
        run(f"import: {title}", "import", file, *reviewer)
    run("import: no column", "import", tmp_path / "file.csv", "--image-column", "main")
    run("import: no file", "import", tmp_path / "gone.csv")
    store.write_text(f"{HEAD}\n,{A},hats,,anna,,2026-05-01\n,{B},hats,,,,\n")
    run("list: a bad row", "list")
    store.write_text(f"{HEAD}\n,{A},hats,,anna,,2026-05-01\n")
    result = tmp_path / "job" / "shop" / "labels.parquet"
    run("apply", "apply", result)
    run("apply: onto itself", "apply", result, "--out", result)
    run("apply: no result", "apply", tmp_path / "gone.parquet")
    run("apply: no job", "apply", "spring", "--jobs", tmp_path)
    pq.write_table(pa.table({"image": ["1.jpg"]}), tmp_path / "other.parquet")
    run("apply: another table", "apply", tmp_path / "other.parquet")
    store.write_text("image,label\n")
    run("list: other columns", "list")
    (tmp_path / "retrain.toml").write_text('name = "shop"\ndata = "photos"\n')
    run("list: a retraining without corrections", "list", "--corrections", tmp_path / "retrain.toml")
    check_messages("corrections", outputs, {tmp_path: "FOLDER"})
