"""The page's style: one accent, one contrast colour that the colour-blind tell from it."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d5dae0;
--field:#f4f6f8;--own:#0b62a8;--other:#b8500c;--band:#0b62a833;--grey:#8a939d;--bar:#c3ccd6;
--l0:#8a3a05;--l1:#c8631a;--l2:#e79a5b;--l3:#f5cfa8}
@media(prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e6e9ec;--soft:#a3adb8;
--rule:#343c46;--field:#1d232a;--own:#6db3f2;--other:#f2a05c;--band:#6db3f23d;--grey:#7b8590;
--bar:#4a5561;--l0:#f7c79b;--l1:#f2a05c;--l2:#bd6f2f;--l3:#7d4719}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:68rem;padding:1.25rem 1.5rem 3rem;background:var(--paper);
color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,
"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.35rem;line-height:1.25;margin:2.5rem 0 .25rem}
h3{font-size:1.1rem;margin:0 0 .25rem;padding-top:.75rem;border-top:2px solid var(--ink)}
h4{font-size:1rem;margin:1.25rem 0 .25rem}
p{margin:.25rem 0 .75rem;max-width:44rem}
a{color:var(--own)}
section{margin:2rem 0 0}
.lead{color:var(--soft)}
.warning{color:var(--other);font-weight:600}
.sets,.contents{display:flex;flex-wrap:wrap;gap:.25rem .5rem;margin:1rem 0 0;padding:0;
list-style:none}
.sets a{display:block;padding:.35rem .8rem;border:1px solid var(--rule);border-radius:.3rem;
text-decoration:none}
.sets a[aria-current]{background:var(--own);border-color:var(--own);color:var(--paper)}
.contents{font-size:.9rem;gap:.1rem 1rem}
.contents a{display:inline-block;padding:.2rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr));gap:.75rem;
margin:.75rem 0}
.cards>div{background:var(--field);border-radius:.3rem;padding:.6rem .75rem}
.cards dt{font-size:.9rem;color:var(--soft)}
.cards dd{margin:0}
.cards b{font-size:1.6rem;line-height:1.2;font-weight:650}
.cards span{white-space:nowrap;color:var(--soft);font-size:.9rem}
.cards small{display:block;line-height:1.3;color:var(--soft)}
.beside{display:grid;grid-template-columns:minmax(0,26rem) minmax(0,1fr);gap:.5rem 2rem;
align-items:start}
.beside>:only-child{grid-column:1/-1}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr));
gap:1rem 2rem}
figure{margin:.5rem 0}
.parts{columns:22rem;column-gap:2rem}
.parts>div{break-inside:avoid;padding-top:.01px}
.parts h4{margin-top:.75rem}
.plot{display:block;width:100%;max-width:28rem;height:auto}
.plot text{font-size:12.4px;fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px;
stroke-linejoin:round}
.plot .tick,.plot .axis-label,.plot .reference-label{fill:var(--soft)}
.plot .label.faint,.plot .label.faint~.value{fill:var(--soft)}
.plot .label.own{font-weight:600}
.grid{stroke:var(--rule);stroke-width:.75}
.base,.leader{stroke:var(--grey);stroke-width:1}
.zero{stroke:var(--ink);stroke-width:1}
.reference{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}
.range{stroke-width:2.5;stroke-linecap:round}
.range.own{stroke:var(--own)}.range.other{stroke:var(--other)}.range.faint{stroke:var(--grey)}
.dot.own{fill:var(--own)}.dot.other{fill:var(--other)}.dot.faint{fill:var(--grey)}
.curve{fill:none;stroke:var(--own);stroke-width:2;stroke-linejoin:round}
.band{fill:var(--band)}
.bar{fill:var(--bar)}.bar-own{fill:var(--own)}.bar-other{fill:var(--other)}
.bar-zero{fill:var(--grey)}
.loss-all{fill:var(--other)}.wedge{fill:var(--field)}
.loss-0{fill:var(--l0)}.loss-1{fill:var(--l1)}.loss-2{fill:var(--l2)}.loss-3{fill:var(--l3)}
.small-bar{width:6rem;height:.65rem;display:inline-block;vertical-align:-.02em;
margin-right:.5rem}
.scroll{overflow-x:auto;margin:.5rem 0 1rem}
table{border-collapse:collapse;font-size:.9rem;line-height:1.35}
caption{text-align:left;color:var(--soft);padding:.15rem 0 .35rem;font-size:.85rem}
caption span{display:inline-block;position:sticky;left:0;max-width:calc(100vw - 2rem)}
th,td{padding:.3rem .9rem .3rem 0;text-align:right;vertical-align:top;font-weight:400;
border-bottom:1px solid var(--rule);overflow-wrap:normal}
th.text,td.text{text-align:left}
th.text,td.text{min-width:8rem;max-width:22rem;overflow-wrap:anywhere}
td.text:has(>.small-bar),th.text:empty{min-width:0}
td:has(>.small-bar){white-space:nowrap}
thead th{color:var(--soft);font-size:.85rem;vertical-align:bottom}
small{font-size:.85em;color:var(--soft)}
td small{display:inline-block;white-space:nowrap}
details{margin:.5rem 0}
summary{cursor:pointer;padding:.35rem 0;color:var(--own)}
code{font-size:.9em;font-family:ui-monospace,Menlo,Consolas,"Liberation Mono",monospace}
.toolbar{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;background:var(--field);
padding:.6rem .75rem;border-radius:.3rem;font-size:.9rem;overflow-wrap:normal}
.toolbar[hidden],[hidden]{display:none}
.toolbar label{display:inline-flex;gap:.4rem;align-items:center;max-width:100%}
.leaf{display:inline-flex;gap:.5rem;align-items:center}
.leaf output{min-width:6.5em;text-align:center}
button,select{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--grey);
border-radius:.3rem;padding:.35rem .6rem;min-width:0;max-width:100%}
button:disabled{opacity:.45}
:focus-visible{outline:2px solid var(--other);outline-offset:2px}
.cases>details{border-bottom:1px solid var(--rule);margin:0}
.cases>details>summary{display:flex;flex-wrap:wrap;gap:.1rem .75rem;color:var(--ink)}
.cases .number{color:var(--soft);min-width:1.8em}
.cases .title{flex:1 1 16rem;min-width:0}
.cases .tag{color:var(--soft);font-size:.9rem}
.leafing .cases>details{border:0}
.leafing .cases .title{font-weight:600}
.facts,.terms{display:grid;grid-template-columns:minmax(6.5rem,max-content) minmax(0,1fr);
gap:.2rem 1rem;margin:.25rem 0 .75rem;font-size:.95rem}
.facts dt,.terms dt{color:var(--soft)}
.facts dd,.terms dd{margin:0}
.terms dt{color:var(--ink);font-weight:600}
footer{margin-top:3rem;border-top:2px solid var(--ink);font-size:.9rem}
@media(max-width:46rem){body{padding:1rem .75rem 2rem}.beside{grid-template-columns:minmax(0,1fr)}
.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:.5rem}.cards b{font-size:1.4rem}
.cards>div{padding:.5rem .6rem}.terms{grid-template-columns:minmax(0,1fr);gap:0}
.terms dd{margin-bottom:.5rem}.leaf{width:100%;justify-content:space-between}
.small-bar{width:3.5rem}
th.text,td.text{min-width:6.6rem}th,td{padding-right:.6rem}}
@media(max-width:46rem){td.text:has(>.small-bar),th.text:empty{min-width:0}}
@media print{.toolbar,.sets,.contents{display:none}section{break-inside:avoid-page}}
"""
"""Plain CSS without addresses: the page loads nothing."""
