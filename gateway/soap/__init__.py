"""The SOAP face of the data services: SOAP 1.1 and 1.2 and WSDL 1.1, document/literal wrapped.

It translates only: a request goes on through the same stages and to the same handler as its JSON twin. XML is untrusted.
"""
