// Follows a Handloom stream in the background and keeps its newest frame. Plain C# 7: needs nothing of
// Unity. Not for WebGL builds, which have neither threads nor ClientWebSocket.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net.WebSockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Handloom
{
    public sealed class HandStreamClient : IDisposable
    {
        public const string DefaultUrl = "ws://127.0.0.1:4263/v1/stream";
        const int FirstRetryMs = 250, LastRetryMs = 4000, MaxMessageBytes = 4 << 20;

        readonly Uri uri;
        readonly string token, subscription;
        readonly CancellationTokenSource stopping = new CancellationTokenSource();
        HandFrame latest;
        volatile bool connected;
        volatile string said = "";
        volatile Dictionary<string, object> hello;
        bool subscribed;
        int retryMs = FirstRetryMs;

        /// <param name="url">The stream's address.</param>
        /// <param name="token">The server's token, if it has one; desktop programs send it as a header.</param>
        /// <param name="axes">unity, openxr, user, unreal, blender, ros or camera_cv.</param>
        public HandStreamClient(string url = DefaultUrl, string token = "", string axes = "unity")
        {
            uri = new Uri(url);
            this.token = token;
            subscription = "{\"type\":\"subscribe\",\"parts\":[\"joints\",\"pinch\"],\"frame\":\"" + axes + "\",\"flow\":\"ack\",\"window\":2}";
            // Not on the caller's thread: Unity would run each continuation a frame later, and frames would pile up.
            Task.Run(Follow);
        }

        public bool Connected { get { return connected; } }

        /// <summary>What went wrong last, for people to read.</summary>
        public string Said { get { return said; } }

        /// <summary>What the server says of itself; null before the first connection.</summary>
        public Dictionary<string, object> Hello { get { return hello; } }

        /// <summary>The newest frame if there is one that was not taken yet, else null. Never waits.</summary>
        public HandFrame Take() { return Interlocked.Exchange(ref latest, null); }

        public void Dispose() { stopping.Cancel(); }

        async Task Follow()
        {
            while (!stopping.IsCancellationRequested)
            {
                try
                {
                    using (var socket = new ClientWebSocket())
                    {
                        socket.Options.AddSubProtocol("handstream.v1.bin");
                        if (token != "") socket.Options.SetRequestHeader("Authorization", "Bearer " + token);
                        await socket.ConnectAsync(uri, stopping.Token).ConfigureAwait(false);
                        await Converse(socket).ConfigureAwait(false);
                    }
                }
                catch (OperationCanceledException) { return; }
                catch (Exception error) // platforms break lines in many ways, and the next line may hold
                {
                    said = error.Message;
                }
                connected = subscribed = false;
                try { await Task.Delay(retryMs, stopping.Token).ConfigureAwait(false); }
                catch (OperationCanceledException) { return; }
                retryMs = Math.Min(LastRetryMs, 2 * retryMs);
            }
        }

        async Task Converse(ClientWebSocket socket)
        {
            retryMs = FirstRetryMs;
            connected = true;
            said = "";
            await Send(socket, subscription).ConfigureAwait(false);
            var buffer = new byte[1 << 14];
            while (true)
            {
                var message = new MemoryStream();
                WebSocketReceiveResult part;
                do
                {
                    part = await socket.ReceiveAsync(new ArraySegment<byte>(buffer), stopping.Token).ConfigureAwait(false);
                    message.Write(buffer, 0, part.Count);
                    if (message.Length > MaxMessageBytes) throw new InvalidDataException("a message is too long");
                } while (!part.EndOfMessage);
                if (part.MessageType == WebSocketMessageType.Close) return;
                if (part.MessageType == WebSocketMessageType.Text) Note(Encoding.UTF8.GetString(message.ToArray()));
                else if (subscribed) await TakeIn(socket, message.ToArray()).ConfigureAwait(false);
            }
        }

        async Task TakeIn(ClientWebSocket socket, byte[] data)
        {
            Interlocked.Exchange(ref latest, HandStreamBinary.Decode(data));
            await Send(socket, "{\"type\":\"ack\"}").ConfigureAwait(false); // one frame is done with, so the next may come
        }

        void Note(string text)
        {
            var message = HandStreamJson.Parse(text);
            object type;
            if (!message.TryGetValue("type", out type)) return;
            if ((type as string) == "hello") hello = message;
            if ((type as string) == "subscribed") subscribed = true; // frames before are in nobody's axes
            if ((type as string) == "error") said = message.ContainsKey("message") ? message["message"] as string : "error";
        }

        Task Send(ClientWebSocket socket, string text)
        {
            var bytes = new ArraySegment<byte>(Encoding.UTF8.GetBytes(text));
            return socket.SendAsync(bytes, WebSocketMessageType.Text, true, stopping.Token);
        }
    }
}
