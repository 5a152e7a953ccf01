// One moment of a Handloom stream, and the reader of its binary form (`handstream.v1.bin`).
// Plain C# 7: needs nothing of Unity.
using System;
using System.Collections.Generic;
using System.IO;

namespace Handloom
{
    public enum HandSide { Left = 1, Right = 2 }

    /// <summary>Lost comes once, with the last pose.</summary>
    public enum HandState { Lost = 0, Tracked = 1, Predicted = 2 }

    /// <summary>Place, orientation and distance to the skin, in the axes and unit subscribed to.</summary>
    public struct HandJoint
    {
        public float X, Y, Z, Qx, Qy, Qz, Qw, Radius;
    }

    public sealed class Hand
    {
        public const int JointCount = 26;

        /// <summary>Stays with the hand from frame to frame and never changes side.</summary>
        public uint Id;
        public HandSide Side;
        public HandState State;
        public float Score, Scale;

        /// <summary>Bit j is set when joint j is a constant place in the hand, not measured.</summary>
        public uint Emulated;

        /// <summary>OpenXR's order: palm, wrist, then thumb to little finger; null if not subscribed to.</summary>
        public HandJoint[] Joints;

        /// <summary>Thumb against index, middle, ring, little: 0 open to 1 touching; null if not subscribed to.</summary>
        public float[] Pinch;

        /// <summary>OpenXR's tree: palm, thumb and metacarpals hang on the wrist, which has no parent (-1).</summary>
        public static int Parent(int joint)
        {
            if (joint == 1) return -1;
            return joint == 0 || joint == 2 || joint >= 6 && (joint - 6) % 5 == 0 ? 1 : joint - 1;
        }
    }

    public sealed class HandFrame
    {
        public ulong Seq;
        public uint CameraFrame, Session;

        /// <summary>On the server's monotonic clock.</summary>
        public long CaptureNs, PublishNs;
        public readonly List<Hand> Hands = new List<Hand>();

        /// <summary>The best scored hand of a side that is in view, or null.</summary>
        public Hand Best(HandSide side)
        {
            Hand best = null;
            foreach (var hand in Hands)
                if (hand.Side == side && hand.State != HandState.Lost && (best == null || hand.Score > best.Score))
                    best = hand;
            return best;
        }
    }

    /// <summary>Reads binary messages; skips what is newer, throws InvalidDataException for anything damaged.</summary>
    public static class HandStreamBinary
    {
        const int HeaderBytes = 48, HandBytes = 32, SectionBytes = 8;
        const int FrameType = 1, JointsSection = 1, PinchSection = 7, PlainFloats = 0, JointFloats = 8;

        public static HandFrame Decode(byte[] data)
        {
            if (data.Length < HeaderBytes || data[0] != 'H' || data[1] != 'S' || data[2] != '1' || data[3] != 0 || data[5] != FrameType)
                throw new InvalidDataException(data.Length + " bytes that are no frame");
            int at = BitConverter.ToUInt16(data, 6);
            long end = at + (long)BitConverter.ToUInt32(data, 44);
            if (at < HeaderBytes || end > data.Length) throw new InvalidDataException("a frame is cut short");
            var frame = new HandFrame
            {
                CameraFrame = BitConverter.ToUInt32(data, 8),
                Session = BitConverter.ToUInt32(data, 12),
                Seq = BitConverter.ToUInt64(data, 16),
                CaptureNs = BitConverter.ToInt64(data, 24),
                PublishNs = BitConverter.ToInt64(data, 32),
            };
            for (int n = data[40]; n > 0; n--)
            {
                if (at + HandBytes > end) throw new InvalidDataException("a hand overruns its frame");
                long length = BitConverter.ToUInt32(data, at);
                if (length < HandBytes || at + length > end) throw new InvalidDataException("a hand overruns its frame");
                var hand = DecodeHand(data, at, (int)(at + length));
                if (hand != null) frame.Hands.Add(hand);
                at += (int)length;
            }
            return frame;
        }

        static Hand DecodeHand(byte[] data, int start, int stop)
        {
            var hand = new Hand
            {
                Id = BitConverter.ToUInt32(data, start + 4),
                Side = (HandSide)data[start + 8],
                State = (HandState)data[start + 9],
                Score = BitConverter.ToSingle(data, start + 12),
                Emulated = BitConverter.ToUInt32(data, start + 20),
                Scale = BitConverter.ToSingle(data, start + 24),
            };
            int at = start + HandBytes;
            for (int n = data[start + 10]; n > 0; n--)
            {
                int content = at + SectionBytes;
                if (content > stop) throw new InvalidDataException("a section overruns its hand");
                long length = BitConverter.ToUInt32(data, at + 4);
                if (content + length > stop) throw new InvalidDataException("a section overruns its hand");
                if (data[at] == JointsSection && data[at + 1] == PlainFloats) hand.Joints = Joints(Floats(data, content, length, Hand.JointCount * JointFloats));
                if (data[at] == PinchSection && data[at + 1] == PlainFloats) hand.Pinch = Floats(data, content, length, 4);
                at = content + (int)((length + 3) & ~3L);
            }
            return Enum.IsDefined(typeof(HandSide), hand.Side) && Enum.IsDefined(typeof(HandState), hand.State) ? hand : null;
        }

        static float[] Floats(byte[] data, int at, long bytes, int count)
        {
            if (bytes != 4 * count) throw new InvalidDataException("a section has " + bytes + " bytes; expected " + 4 * count);
            var numbers = new float[count];
            Buffer.BlockCopy(data, at, numbers, 0, 4 * count);
            foreach (var number in numbers)
                if (float.IsNaN(number) || float.IsInfinity(number)) throw new InvalidDataException("a number is not finite");
            return numbers;
        }

        internal static HandJoint[] Joints(float[] rows)
        {
            var joints = new HandJoint[Hand.JointCount];
            for (int j = 0, i = 0; j < joints.Length; j++, i += JointFloats)
                joints[j] = new HandJoint
                {
                    X = rows[i], Y = rows[i + 1], Z = rows[i + 2],
                    Qx = rows[i + 3], Qy = rows[i + 4], Qz = rows[i + 5], Qw = rows[i + 6], Radius = rows[i + 7],
                };
            return joints;
        }
    }
}
