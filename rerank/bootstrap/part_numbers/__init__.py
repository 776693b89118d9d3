"""Part numbers as board partners build them from a model, by partner."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rerank.bootstrap.dice import Dice
from rerank.bootstrap.part_numbers import amd_partners, nvidia_partners
from rerank.bootstrap.part_numbers.asus import asus_code
from rerank.bootstrap.part_numbers.code import Code
from rerank.bootstrap.part_numbers.gigabyte import gigabyte_code
from rerank.bootstrap.part_numbers.msi import msi_code
from rerank.bootstrap.part_numbers.pny import pny_code
from rerank.bootstrap.product import Product

__all__ = ["CODE_BUILDERS", "Code", "CodeBuilder"]

CodeBuilder = Callable[[Product, Dice], Code | None]

# Keys are the ``codes`` column of partners.yaml.
CODE_BUILDERS: Mapping[str, CodeBuilder] = {
    "afox": nvidia_partners.afox_code,
    "asrock": amd_partners.asrock_code,
    "asus": asus_code,
    "bfg": nvidia_partners.bfg_code,
    "colorful": nvidia_partners.colorful_code,
    "diamond": amd_partners.diamond_code,
    "ecs": nvidia_partners.ecs_code,
    "evga": nvidia_partners.evga_code,
    "galax": nvidia_partners.galax_code,
    "gigabyte": gigabyte_code,
    "his": amd_partners.his_code,
    "inno3d": nvidia_partners.inno3d_code,
    "msi": msi_code,
    "palit": nvidia_partners.palit_code,
    "pny": pny_code,
    "powercolor": amd_partners.powercolor_code,
    "sapphire": amd_partners.sapphire_code,
    "sparkle": nvidia_partners.sparkle_code,
    "xfx": amd_partners.xfx_code,
    "zotac": nvidia_partners.zotac_code,
}
