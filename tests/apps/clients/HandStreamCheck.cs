// Runs the engine-free part of the Unity client for the tests. Numbers are printed so that nothing is lost.
//   decode FILE.bin FILE.json    the hands of both, a line each
//   damaged FOLDER               each file of it: `frame` or `refused`
//   parents                      the parent of each joint
//   live URL TOKEN MILLISECONDS  ticks at 30 Hz, as a game would, then what came
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading;
using Handloom;

static class HandStreamCheck
{
    static int Main(string[] words)
    {
        CultureInfo.DefaultThreadCurrentCulture = Thread.CurrentThread.CurrentCulture = new CultureInfo("de-DE"); // a comma for decimals
        if (words[0] == "decode") { Print(HandStreamBinary.Decode(File.ReadAllBytes(words[1]))); Print(HandStreamJson.DecodeFrame(HandStreamJson.Parse(File.ReadAllText(words[2])))); }
        if (words[0] == "damaged") foreach (var path in Directory.GetFiles(words[1]).OrderBy(p => p, StringComparer.Ordinal)) Console.WriteLine(Try(path));
        if (words[0] == "parents") Console.WriteLine(string.Join(" ", Enumerable.Range(0, Hand.JointCount).Select(Hand.Parent)));
        return words[0] == "live" ? Live(words[1], words[2], int.Parse(words[3])) : 0;
    }

    static string Text(float number) { return ((double)number).ToString("R", CultureInfo.InvariantCulture); }

    static void Print(HandFrame frame)
    {
        Console.WriteLine(string.Join(" ", frame.Seq, frame.CameraFrame, frame.Session, frame.CaptureNs, frame.PublishNs, frame.Hands.Count));
        foreach (var hand in frame.Hands)
        {
            var numbers = new[] { hand.Score, hand.Scale }.Concat(hand.Pinch)
                .Concat(hand.Joints.SelectMany(j => new[] { j.X, j.Y, j.Z, j.Qx, j.Qy, j.Qz, j.Qw, j.Radius }));
            Console.WriteLine(string.Join(" ", hand.Side, hand.State, hand.Id, hand.Emulated) + " " + string.Join(" ", numbers.Select(Text)));
        }
    }

    static string Try(string path)
    {
        try
        {
            if (path.EndsWith(".json")) HandStreamJson.DecodeFrame(HandStreamJson.Parse(File.ReadAllText(path)));
            else HandStreamBinary.Decode(File.ReadAllBytes(path));
            return "frame";
        }
        catch (InvalidDataException) { return "refused"; }
    }

    static int Live(string url, string token, int milliseconds)
    {
        int ticks = 0, fresh = 0;
        ulong seq = 0;
        HandFrame last = null;
        using (var client = new HandStreamClient(url, token))
        {
            for (var clock = System.Diagnostics.Stopwatch.StartNew(); clock.ElapsedMilliseconds < milliseconds; ticks++)
            {
                Thread.Sleep(33);
                var frame = client.Take();
                if (frame == null) continue;
                if (frame.Seq <= seq) { Console.WriteLine("seq went back"); return 1; }
                seq = frame.Seq;
                last = frame;
                fresh++;
            }
            Console.WriteLine(fresh + " " + ticks + " " + (client.Hello == null ? "no hello" : (string)client.Hello["protocol"]) + " " + client.Said);
        }
        if (last != null) Print(last);
        return 0;
    }
}
