"""The conformance kit: is a live unit (board or simulator) what the declarations of `firmware_protocol` say?

The one part of `firmware_protocol` with input and output: a command beside the declarations, which stay free of both. It
needs the standard library only, has its own small Modbus master, and shares no code with the daemon or the simulator.
"""
