"""Rankers learnt of judged pairs and of scored candidates, beside LambdaRank."""
