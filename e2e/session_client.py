"""A client of Session Manager's data channel, from the published protocol alone: what the ordinary plugin sends, byte for byte.

It shares no code with the platform or with `longshore exec`, so that both can be wrong only apart.
"""

import hashlib
import json
import struct
import threading
import time
import uuid

import websocket

HEADER = struct.Struct(">I32sIQqQ")
OUTPUT, ERROR, SIZE, PARAMETER, REQUEST, RESPONSE, COMPLETE, FLAG, STDERR, EXIT = 1, 2, 3, 4, 5, 6, 7, 10, 11, 12
DISCONNECT, TERMINATE, CONNECT_ERROR = 1, 2, 3


def encode(kind, sequence, payload_type, payload, flags=0):
    message_id = uuid.uuid4().bytes
    head = HEADER.pack(116, kind.encode().ljust(32), 1, int(time.time() * 1000), sequence, flags)
    digest = hashlib.sha256(payload).digest()
    return head + message_id[8:] + message_id[:8] + digest + struct.pack(">II", payload_type, len(payload)) + payload


class Message:
    def __init__(self, data):
        length, kind, schema, self.created, self.sequence, self.flags = HEADER.unpack(data[:64])
        assert (length, schema) == (116, 1), (length, schema)
        self.kind = kind.decode().strip()
        self.id = uuid.UUID(bytes=data[72:80] + data[64:72])
        self.payload_type, size = struct.unpack(">II", data[112:120])
        self.payload = data[120:]
        assert len(self.payload) == size, (len(self.payload), size)
        assert hashlib.sha256(self.payload).digest() == data[80:112] or not self.payload


class SessionClient:
    """A session as its client has it. Reads in a thread; everything that came is kept."""

    def __init__(self, session, version="1.2.707.0", answer=True):
        session = {name[0].lower() + name[1:]: value for name, value in session.items()}
        self.id, self.version = session["sessionId"], version
        self.sequence, self.expected, self.early = 0, 0, {}
        self.output, self.errors, self.exit_code = b"", b"", None
        self.closed, self.properties, self.session_type, self.flags = None, None, None, []
        self.unacknowledged, self.changed, self.answer = {}, threading.Condition(), answer
        self.opened = self.over = False
        self.connect(session["streamUrl"], session["tokenValue"])

    def connect(self, url, token):
        self.socket = websocket.create_connection(url, timeout=60)
        opening = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": token,
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": self.version,
        }
        self.socket.send(json.dumps(opening))
        self.over = False
        self.reader = threading.Thread(target=self.read, args=(self.socket,), daemon=True)
        self.reader.start()

    def read(self, connection):
        try:
            while True:
                data = connection.recv()
                if not data:
                    break
                with self.changed:
                    self.take(Message(data if isinstance(data, bytes) else data.encode()))
                    self.changed.notify_all()
        except (websocket.WebSocketException, OSError):
            pass
        with self.changed:
            if connection is self.socket:
                self.over = True
            self.changed.notify_all()

    def take(self, message):
        if message.kind == "acknowledge":
            content = json.loads(message.payload)
            self.unacknowledged.pop(content["AcknowledgedMessageSequenceNumber"], None)
        elif message.kind == "channel_closed":
            self.closed = json.loads(message.payload)
        elif message.kind == "output_stream_data":
            content = {
                "AcknowledgedMessageType": message.kind,
                "AcknowledgedMessageId": str(message.id),
                "AcknowledgedMessageSequenceNumber": message.sequence,
                "IsSequentialMessage": True,
            }
            self.socket.send_binary(encode("acknowledge", 0, 0, json.dumps(content).encode(), 3))
            self.early[message.sequence] = message
            while self.expected in self.early:
                self.data(self.early.pop(self.expected))
                self.expected += 1
        else:
            raise AssertionError(f"a message {message.kind}")

    def data(self, message):
        if message.payload_type == REQUEST:
            request = json.loads(message.payload)
            # Others it knows nothing of.
            action = request["RequestedClientActions"][0]
            assert action["ActionType"] == "SessionType"
            self.session_type = action["ActionParameters"]["SessionType"]
            self.properties = action["ActionParameters"]["Properties"]
            if self.answer:
                done = {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}
                response = {"ClientVersion": self.version, "ProcessedClientActions": [done], "Errors": None}
                self.send(RESPONSE, json.dumps(response).encode())
        elif message.payload_type == COMPLETE:
            self.opened = True
        elif message.payload_type == OUTPUT:
            self.output += message.payload
        elif message.payload_type == STDERR:
            self.errors += message.payload
        elif message.payload_type == EXIT:
            self.exit_code = int(message.payload)
        elif message.payload_type == FLAG:
            self.flags.append(struct.unpack(">I", message.payload)[0])
        else:
            raise AssertionError(f"a payload of type {message.payload_type}")

    def send(self, payload_type, payload):
        data = encode("input_stream_data", self.sequence, payload_type, payload)
        self.unacknowledged[self.sequence] = data
        self.sequence += 1
        self.socket.send_binary(data)

    def type(self, text):
        with self.changed:
            self.send(OUTPUT, text.encode())

    def resize(self, rows, columns):
        with self.changed:
            self.send(SIZE, json.dumps({"cols": columns, "rows": rows}).encode())

    def flag(self, number):
        with self.changed:
            self.send(FLAG, struct.pack(">I", number))

    def wait(self, wanted, what, timeout=30):
        with self.changed:
            found = self.changed.wait_for(lambda: wanted(self) or (self.over and not wanted(self)), timeout)
            assert found and wanted(self), f"{what}: {self.output!r} {self.closed} over={self.over}"
        return self

    def open(self):
        return self.wait(lambda client: client.opened, "the handshake")

    def shows(self, text, timeout=30):
        self.wait(lambda client: text.encode() in client.output, text, timeout)
        return self.output.decode(errors="replace")

    def ends(self, timeout=30):
        return self.wait(lambda client: client.closed is not None, "the end", timeout).closed

    def leave(self):
        self.socket.close()
