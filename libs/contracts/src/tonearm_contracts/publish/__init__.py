"""What is published of the contracts: JSON Schemas, the AsyncAPI document, HTML.

Everything here is derived from the models; `python -m tonearm_contracts.publish check` fails when
the committed files differ, or when a model breaks one of its earlier published schemas.
"""
