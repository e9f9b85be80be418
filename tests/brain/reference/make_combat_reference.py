"""Write the harmonised columns h* of combat_neuroharmonize.csv anew from its columns f*.

Needs neuroHarmonize (2.5.2 wrote the file), which asks for numpy below 2, so an environment of its own.
"""

from pathlib import Path

import pandas as pd

PATH = Path(__file__).with_name("combat_neuroharmonize.csv")

if __name__ == "__main__":
    from neuroHarmonize import harmonizationLearn  # the tests import this file, and do without

    table = pd.read_csv(PATH)
    measured = table.filter(regex=r"^f\d")
    known = pd.DataFrame({"SITE": table["site"], "age": table["age"], "sex": table["male"].astype(float)})
    harmonised = harmonizationLearn(measured.to_numpy(), known)[1]
    columns = pd.DataFrame(harmonised, columns=[name.replace("f", "h") for name in measured])
    kept = table.loc[:, ~table.columns.str.match(r"^h\d")]
    pd.concat([kept, columns], axis=1).to_csv(PATH, index=False, float_format="%.17g")
