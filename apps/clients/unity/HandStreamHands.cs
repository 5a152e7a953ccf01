// Both hands of a Handloom stream as balls and lines. Put it on an empty GameObject; the hands are placed
// relative to it, so where it is stands for the camera, which looks along its blue axis.
using System;
using UnityEngine;
using UnityEngine.Events;

namespace Handloom
{
    public sealed class HandStreamHands : MonoBehaviour
    {
        [Serializable] public sealed class PinchEvent : UnityEvent<float> { }

        public string url = HandStreamClient.DefaultUrl;
        public string token = "";
        public Material material;

        [Tooltip("How far thumb and index finger of the right hand pinch, 0 to 1, with every new frame")]
        public PinchEvent rightPinch = new PinchEvent();

        static readonly HandSide[] Sides = { HandSide.Left, HandSide.Right };
        HandStreamClient client;
        readonly Transform[][] joints = new Transform[2][];
        readonly LineRenderer[][] bones = new LineRenderer[2][];

        /// <summary>The newest frame; its numbers are in Unity's axes, in metres.</summary>
        public HandFrame Frame { get; private set; }

        void OnEnable() { client = new HandStreamClient(url, token, "unity"); }

        void OnDisable() { client.Dispose(); }

        void Start()
        {
            for (int side = 0; side < 2; side++)
            {
                joints[side] = new Transform[Hand.JointCount];
                bones[side] = new LineRenderer[Hand.JointCount];
                for (int joint = 0; joint < Hand.JointCount; joint++)
                {
                    var ball = GameObject.CreatePrimitive(PrimitiveType.Sphere);
                    ball.name = Sides[side] + " " + joint;
                    Destroy(ball.GetComponent<Collider>());
                    ball.transform.SetParent(transform, false);
                    if (material != null) ball.GetComponent<Renderer>().sharedMaterial = material;
                    joints[side][joint] = ball.transform;
                    if (Hand.Parent(joint) >= 0) bones[side][joint] = Bone(ball);
                }
            }
        }

        void Update()
        {
            var frame = client.Take();
            if (frame == null) return;
            Frame = frame;
            for (int side = 0; side < 2; side++) Show(side, frame.Best(Sides[side]));
            var right = frame.Best(HandSide.Right);
            if (right != null && right.Pinch != null) rightPinch.Invoke(right.Pinch[0]);
        }

        void Show(int side, Hand hand)
        {
            bool seen = hand != null && hand.Joints != null;
            for (int joint = 0; joint < Hand.JointCount; joint++)
            {
                var ball = joints[side][joint];
                ball.gameObject.SetActive(seen);
                if (!seen) continue;
                var pose = hand.Joints[joint];
                ball.localPosition = new Vector3(pose.X, pose.Y, pose.Z);
                ball.localRotation = new Quaternion(pose.Qx, pose.Qy, pose.Qz, pose.Qw);
                ball.localScale = Vector3.one * pose.Radius;
            }
            for (int joint = 0; seen && joint < Hand.JointCount; joint++)
            {
                if (bones[side][joint] == null) continue;
                bones[side][joint].SetPosition(0, joints[side][Hand.Parent(joint)].position);
                bones[side][joint].SetPosition(1, joints[side][joint].position);
            }
        }

        LineRenderer Bone(GameObject ball)
        {
            var line = ball.AddComponent<LineRenderer>();
            line.positionCount = 2;
            line.startWidth = line.endWidth = 0.004f;
            if (material != null) line.sharedMaterial = material;
            return line;
        }
    }
}
