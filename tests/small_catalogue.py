"""A catalogue of tents, stoves and lamps, small enough to read: variants, siblings, codes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rerank.domain import build_catalogue_index, init_catalogue

PRODUCTS = """\
sku,name,brand,part_number,category,weight_g,colour,price
C01,Norrfjell Vidda 2 Tent green,Norrfjell,NF-V200,Tents,1900,green,289.00
C02,Norrfjell Vidda 2 Tent red,Norrfjell,NF-V201,Tents,1900,red,289.00
C03,Norrfjell Vidda 3 Tent green,Norrfjell,NF-V300,Tents,2400,green,359.00
C04,Norrfjell Vidda 3 Tent red,Norrfjell,NF-V301,Tents,2400,red,359.00
C05,Norrfjell Vidda 4 Tent green,Norrfjell,NF-V400,Tents,3100,green,429.00
C06,Norrfjell Tind 1 Tent sand,Norrfjell,NF-T100,Tents,1200,sand,319.00
C07,Norrfjell Tind 2 Tent sand,Norrfjell,NF-T200,Tents,1500,sand,399.00
C08,Karwendel Biwak 1 Tent,Karwendel,KB-1001,Tents,1050,,259.00
C09,Karwendel Biwak 2 Tent,Karwendel,KB-1002,Tents,1390,,329.00
C10,Karwendel Kuppel 4 Family Tent,Karwendel,KK-4004,Tents,6200,,219.00
C11,Karwendel Kuppel 6 Family Tent,Karwendel,KK-4006,Tents,8400,,299.00
C12,Cindervale Ember 100 Gas Stove,Cindervale,CV-E100,Stoves,98,,49.90
C13,Cindervale Ember 300 Gas Stove,Cindervale,CV-E300,Stoves,310,,79.90
C14,Cindervale Ember 300 Gas Stove piezo,Cindervale,CV-E301,Stoves,330,,89.90
C15,Cindervale Forge 2 Multi Fuel Stove,Cindervale,CV-F200,Stoves,520,,149.00
C16,Cindervale Twin 500 Camping Stove,Cindervale,CV-T500,Stoves,4100,,129.00
C17,Lumo Firefly 200 Headlamp black,Lumo,LU-F20B,Lamps,68,black,34.90
C18,Lumo Firefly 200 Headlamp blue,Lumo,LU-F20U,Lamps,68,blue,34.90
C19,Lumo Firefly 400 Headlamp black,Lumo,LU-F40B,Lamps,82,black,54.90
C20,Lumo Firefly 400 Headlamp blue,Lumo,LU-F40U,Lamps,82,blue,54.90
C21,Lumo Firefly 400R Headlamp black,Lumo,LU-F4RB,Lamps,85,black,69.90
C22,Lumo Glow 60 Camping Lantern,Lumo,LU-G060,Lamps,210,,29.90
C23,Lumo Glow 180 Camping Lantern,Lumo,LU-G180,Lamps,340,,44.90
C24,Brightwell Beacon 7 Lantern,Brightwell,BW-B007,Lamps,610,,59.00
C25,Brightwell Beacon 9 Lantern,Brightwell,BW-B009,Lamps,790,,79.00
C26,Ostara Dun 600 Sleeping Bag,Ostara,OS-D600,Sleeping bags,980,,239.00
C27,Ostara Dun 800 Sleeping Bag,Ostara,OS-D800,Sleeping bags,1180,,299.00
C28,Ostara Dun 800 Sleeping Bag long,Ostara,OS-D80L,Sleeping bags,1260,,319.00
C29,Ostara Lite 200 Sleeping Bag,Ostara,OS-L200,Sleeping bags,640,,129.00
C30,Ostara Lite 400 Sleeping Bag,Ostara,OS-L400,Sleeping bags,890,,159.00
"""

LISTINGS = """\
offer_id,title,vendor,price,product_id
K01,Vidda 2 Zelt Norrfjell grün,zeltkiste,279,C01
K02,Norrfjell Vidda 3 red tent NEW,outfitter,345,C04
K03,KARWENDEL Biwak 2,outfitter,310,C09
K04,Karwendel Kuppel 6 familietent,tentjes,289,C11
K05,Cindervale Ember 300 gas stove with piezo,outfitter,85,C14
K06,cindervale CV-F200 multi fuel,outfitter,140,C15
K07,Lumo Firefly 400 Stirnlampe blau,zeltkiste,49,C20
K08,Lumo Glow 180 Laterne,zeltkiste,42,C23
K09,Brightwell Beacon 9 lantern,outfitter,75,C25
K10,Ostara Dun 800 long,outfitter,310,C28
K11,Ostara Lite 400 Schlafsack,zeltkiste,150,C30
K12,Norrfjell Tind 2,outfitter,389,C07
K13,Groundsheet for Norrfjell Vidda 2,outfitter,39,
K14,Repair kit for tent poles,outfitter,9,
K15,Wanted: Karwendel Biwak 1,outfitter,,
K16,Gas cartridge 230 g,outfitter,6,
K17,Stuff sack for sleeping bags,zeltkiste,12,
K18,Norrfjell Vidda 9 tent,outfitter,999,
"""


class CatalogueHome(NamedTuple):
    """A workspace of the catalogue.

    :param listings: a feed that calls its ids otherwise than we do; ``product_id`` is right.
    """

    home: Path
    listings: Path


def build_catalogue_home(folder: Path) -> CatalogueHome:
    """Write the catalogue's files and build its index."""
    products, listings = folder / "camping.csv", folder / "listings.csv"
    products.write_text(PRODUCTS, encoding="utf-8")
    listings.write_text(LISTINGS, encoding="utf-8")
    init_catalogue(products, [listings], folder / "catalogue.yaml", pack="generic")
    home = folder / "home"
    build_catalogue_index(
        folder / "catalogue.yaml", home / "index", progress=lambda stage, share: None
    )
    return CatalogueHome(home, listings)
