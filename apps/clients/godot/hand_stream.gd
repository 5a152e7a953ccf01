## Both hands of a Handloom stream, for Godot 4.3 and later.
##
## Add a Node3D to a scene and give it this script. It draws a ball for each joint, and feeds two
## XRHandTrackers ("/user/hand_tracker/left" and ".../right"), so that XRNode3D, XRHandModifier3D
## and hand meshes made for headsets follow as well. The node's place stands for the camera, which
## looks along -z.
class_name HandStream
extends Node3D

## A new frame, newest only. Each hand is a dictionary: id, side (1 left, 2 right), state (0 lost,
## 1 tracked, 2 predicted), score, and joints: a PackedFloat32Array of 26 rows x y z, qx qy qz qw,
## radius.
signal frame_received(hands: Array[Dictionary])

const JOINTS := 26
const ROW := 8
const LEFT := 1
const RIGHT := 2
const LOST := 0
const HEADER_BYTES := 48
const HAND_BYTES := 32
const SECTION_BYTES := 8
const JOINTS_SECTION := 1
const PLAIN_FLOATS := 0
const FRAME := 1
const RETRY_S := 1.0
## Both orientation and position are valid and tracked.
const ALL_FLAGS := 15
const WANTED := '{"type":"subscribe","parts":["joints"],"frame":"openxr","flow":"ack","window":2}'

@export var url := "ws://127.0.0.1:4263/v1/stream"
@export var token := ""
@export var draw_joints := true

var _socket: WebSocketPeer
var _open := false
var _subscribed := false
var _retry_s := 0.0
var _trackers := {}
var _balls := {}


func _ready() -> void:
	for side in [LEFT, RIGHT]:
		_trackers[side] = _make_tracker(side)
		_balls[side] = _make_balls(side) if draw_joints else []
	_connect()


func _exit_tree() -> void:
	for tracker in _trackers.values():
		XRServer.remove_tracker(tracker)
	_socket.close()


func _process(delta: float) -> void:
	_socket.poll()
	match _socket.get_ready_state():
		WebSocketPeer.STATE_OPEN:
			_listen()
		WebSocketPeer.STATE_CLOSED:
			_open = false
			_retry_s -= delta
			if _retry_s <= 0.0:
				_show([])
				_connect()


func _connect() -> void:
	_retry_s = RETRY_S
	_subscribed = false
	_socket = WebSocketPeer.new()
	_socket.supported_protocols = PackedStringArray(["handstream.v1.bin"])
	if token != "":
		_socket.handshake_headers = PackedStringArray(["Authorization: Bearer " + token])
	if _socket.connect_to_url(url) != OK:
		push_warning("HandStream: cannot connect to " + url)


func _listen() -> void:
	if not _open:
		_open = true
		_socket.send_text(WANTED)
	var newest := PackedByteArray()
	while _socket.get_available_packet_count() > 0:
		var packet := _socket.get_packet()
		if _socket.was_string_packet():
			_note(packet.get_string_from_utf8())
		elif _subscribed:  # frames before are in nobody's axes
			newest = packet
			_socket.send_text('{"type":"ack"}')  # one frame is done with, so the next may come
	if not newest.is_empty():
		var hands := decode(newest)
		_show(hands)
		frame_received.emit(hands)


func _note(text: String) -> void:
	var message: Variant = JSON.parse_string(text)
	if not message is Dictionary:
		return
	if message.get("type") == "subscribed":
		_subscribed = true
	elif message.get("type") == "error":
		push_warning("HandStream: " + str(message.get("message")))


## Read one binary message. What is newer is skipped; a damaged message gives no hands.
static func decode(packet: PackedByteArray) -> Array[Dictionary]:
	var hands: Array[Dictionary] = []
	if packet.size() < HEADER_BYTES or packet[5] != FRAME:
		return hands
	if packet.slice(0, 4) != PackedByteArray([0x48, 0x53, 0x31, 0]):
		return hands
	var at := packet.decode_u16(6)
	var end := at + packet.decode_u32(44)
	if at < HEADER_BYTES or end > packet.size():
		return hands
	for _n in packet[40]:
		if at + HAND_BYTES > end:
			break
		var length := packet.decode_u32(at)
		if length < HAND_BYTES or at + length > end:
			break
		var hand := _decode_hand(packet, at, at + length)
		if hand.side in [LEFT, RIGHT] and hand.has("joints"):
			hands.append(hand)
		at += length
	return hands


static func _decode_hand(packet: PackedByteArray, start: int, stop: int) -> Dictionary:
	var hand := {
		"id": packet.decode_u32(start + 4),
		"side": packet[start + 8],
		"state": packet[start + 9],
		"score": packet.decode_float(start + 12),
	}
	var at := start + HAND_BYTES
	for _n in packet[start + 10]:
		if at + SECTION_BYTES > stop:
			break
		var content := at + SECTION_BYTES
		var length := packet.decode_u32(at + 4)
		if content + length > stop:
			break
		var plain := packet[at] == JOINTS_SECTION and packet[at + 1] == PLAIN_FLOATS
		if plain and length == 4 * JOINTS * ROW:
			hand["joints"] = packet.slice(content, content + length).to_float32_array()
		at = content + ((length + 3) & ~3)
	return hand


func _show(hands: Array[Dictionary]) -> void:
	for side in [LEFT, RIGHT]:
		var hand := _best(hands, side)
		var tracker: XRHandTracker = _trackers[side]
		tracker.has_tracking_data = not hand.is_empty()
		for ball: MeshInstance3D in _balls[side]:
			ball.visible = not hand.is_empty()
		if hand.is_empty():
			tracker.invalidate_pose(&"default")
		else:
			_place(side, hand.joints)


func _best(hands: Array[Dictionary], side: int) -> Dictionary:
	var best := {}
	for hand in hands:
		if hand.side != side or hand.state == LOST:
			continue
		if best.is_empty() or hand.score > best.score:
			best = hand
	return best


func _place(side: int, numbers: PackedFloat32Array) -> void:
	var tracker: XRHandTracker = _trackers[side]
	# From OpenXR's joint axes to those of Godot's humanoid hand: z back -> -y, y up -> -z.
	var humanoid := Quaternion(0.0, -sqrt(0.5), sqrt(0.5), 0.0)
	for joint in JOINTS:
		var row := joint * ROW
		var place := Vector3(numbers[row], numbers[row + 1], numbers[row + 2])
		var turn := Quaternion(
			numbers[row + 3], numbers[row + 4], numbers[row + 5], numbers[row + 6]
		)
		var pose := Transform3D(Basis(turn.normalized() * humanoid), place)
		tracker.set_hand_joint_transform(joint, pose)
		tracker.set_hand_joint_radius(joint, numbers[row + 7])
		tracker.set_hand_joint_flags(joint, ALL_FLAGS)
		if joint == XRHandTracker.HAND_JOINT_PALM:
			var sure := XRPose.XR_TRACKING_CONFIDENCE_HIGH
			tracker.set_pose(&"default", pose, Vector3.ZERO, Vector3.ZERO, sure)
		if draw_joints:
			var ball: MeshInstance3D = _balls[side][joint]
			ball.position = place
			ball.scale = Vector3.ONE * numbers[row + 7]


func _make_tracker(side: int) -> XRHandTracker:
	var tracker := XRHandTracker.new()
	tracker.name = "/user/hand_tracker/left" if side == LEFT else "/user/hand_tracker/right"
	tracker.hand = side
	XRServer.add_tracker(tracker)
	return tracker


func _make_balls(side: int) -> Array[MeshInstance3D]:
	var material := StandardMaterial3D.new()
	material.albedo_color = Color("6cb6ff") if side == LEFT else Color("ffb45c")
	var mesh := SphereMesh.new()
	mesh.radius = 0.5
	mesh.height = 1.0
	mesh.material = material
	var balls: Array[MeshInstance3D] = []
	for _joint in JOINTS:
		var ball := MeshInstance3D.new()
		ball.mesh = mesh
		ball.visible = false
		add_child(ball)
		balls.append(ball)
	return balls
