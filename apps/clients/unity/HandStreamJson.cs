// The JSON side of a Handloom stream: its messages, and frames as text (`handstream.v1.json`).
// Plain C# 7: needs nothing of Unity, whose own JsonUtility reads no lists of lists.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;

namespace Handloom
{
    /// <summary>Reads JSON into Dictionary&lt;string, object&gt;, List&lt;object&gt;, string, double, long, bool and null.</summary>
    public sealed class HandStreamJson
    {
        const int MaxDepth = 32;
        readonly string text;
        int at;

        HandStreamJson(string text) { this.text = text; }

        /// <summary>Read one message; throws InvalidDataException if it is no JSON object.</summary>
        public static Dictionary<string, object> Parse(string text)
        {
            var reader = new HandStreamJson(text);
            var message = reader.Value(0) as Dictionary<string, object>;
            if (message == null || reader.Next() != '\0') throw reader.Wrong("no JSON object");
            return message;
        }

        /// <summary>Read a message of the type `frame`; hands of an unknown side or state are left out.</summary>
        public static HandFrame DecodeFrame(Dictionary<string, object> message)
        {
            try
            {
                var frame = new HandFrame
                {
                    Seq = (ulong)(long)message["seq"],
                    CameraFrame = (uint)(long)message["frame"],
                    Session = message.ContainsKey("session") ? (uint)(long)message["session"] : 0,
                    CaptureNs = (long)message["t_capture_ns"],
                    PublishNs = (long)message["t_publish_ns"],
                };
                foreach (var entry in (List<object>)message["hands"])
                {
                    var hand = DecodeHand((Dictionary<string, object>)entry);
                    if (hand != null) frame.Hands.Add(hand);
                }
                return frame;
            }
            catch (Exception error) when (error is KeyNotFoundException || error is InvalidCastException || error is NullReferenceException)
            {
                throw new InvalidDataException("frame: " + error.Message, error);
            }
        }

        static Hand DecodeHand(Dictionary<string, object> entry)
        {
            HandSide side;
            HandState state;
            if (!Enum.TryParse((string)entry["side"], true, out side) || !Enum.IsDefined(typeof(HandSide), side)) return null;
            if (!Enum.TryParse((string)entry["state"], true, out state) || !Enum.IsDefined(typeof(HandState), state)) return null;
            return new Hand
            {
                Id = (uint)(long)entry["id"],
                Side = side,
                State = state,
                Score = Number(entry["score"]),
                Scale = Number(entry["scale"]),
                Emulated = (uint)(long)entry["emulated"],
                Joints = entry.ContainsKey("joints") ? HandStreamBinary.Joints(Numbers(entry["joints"], Hand.JointCount * 8)) : null,
                Pinch = entry.ContainsKey("pinch") ? Numbers(entry["pinch"], 4) : null,
            };
        }

        static float Number(object value) { return value is long ? (long)value : (float)(double)value; }

        static float[] Numbers(object value, int count)
        {
            var numbers = new List<float>(count);
            Flatten(value, numbers);
            if (numbers.Count != count) throw new InvalidDataException(numbers.Count + " numbers; expected " + count);
            if (numbers.Exists(float.IsInfinity)) throw new InvalidDataException("a number is not finite");
            return numbers.ToArray();
        }

        static void Flatten(object value, List<float> numbers)
        {
            var list = value as List<object>;
            if (list == null) numbers.Add(Number(value));
            else foreach (var entry in list) Flatten(entry, numbers);
        }

        // Reading ---------------------------------------------------------------------------------

        InvalidDataException Wrong(string what) { return new InvalidDataException(what + " at character " + at); }

        /// <summary>The next character that is not white; '\0' at the end.</summary>
        char Next()
        {
            while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
            return at < text.Length ? text[at] : '\0';
        }

        void Expect(char wanted)
        {
            if (Next() != wanted) throw Wrong("expected " + wanted);
            at++;
        }

        bool Took(char wanted)
        {
            if (Next() != wanted) return false;
            at++;
            return true;
        }

        object Value(int depth)
        {
            if (depth > MaxDepth) throw Wrong("nested too deep");
            switch (Next())
            {
                case '{': return Object(depth);
                case '[': return List(depth);
                case '"': return String();
                case 't': return Word("true", true);
                case 'f': return Word("false", false);
                case 'n': return Word("null", null);
                default: return Number();
            }
        }

        Dictionary<string, object> Object(int depth)
        {
            var entries = new Dictionary<string, object>();
            Expect('{');
            if (Took('}')) return entries;
            do
            {
                if (Next() != '"') throw Wrong("expected a name");
                var name = String();
                Expect(':');
                entries[name] = Value(depth + 1);
            } while (Took(','));
            Expect('}');
            return entries;
        }

        List<object> List(int depth)
        {
            var entries = new List<object>();
            Expect('[');
            if (Took(']')) return entries;
            do entries.Add(Value(depth + 1)); while (Took(','));
            Expect(']');
            return entries;
        }

        object Word(string word, object value)
        {
            if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0) throw Wrong("expected " + word);
            at += word.Length;
            return value;
        }

        object Number()
        {
            int start = at;
            while (at < text.Length && "+-0123456789.eE".IndexOf(text[at]) >= 0) at++;
            var digits = text.Substring(start, at - start);
            long whole;
            double number;
            if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out whole)) return whole;
            if (double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out number) && !double.IsInfinity(number)) return number;
            throw Wrong("expected a value");
        }

        string String()
        {
            var result = new StringBuilder();
            for (at++; at < text.Length && text[at] != '"'; at++)
                result.Append(text[at] == '\\' ? Escaped() : text[at]);
            Expect('"');
            return result.ToString();
        }

        char Escaped()
        {
            if (++at >= text.Length) throw Wrong("a string without end");
            int code;
            switch (text[at])
            {
                case 'b': return '\b';
                case 'f': return '\f';
                case 'n': return '\n';
                case 'r': return '\r';
                case 't': return '\t';
                case 'u':
                    if (at + 4 >= text.Length || !int.TryParse(text.Substring(at + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out code))
                        throw Wrong("a damaged character");
                    at += 4;
                    return (char)code;
                default: return text[at];
            }
        }
    }
}
