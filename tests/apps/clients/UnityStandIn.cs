// The few names of UnityEngine that the example uses, empty: enough to compile it, nothing more.
using System;

namespace UnityEngine
{
    public class TooltipAttribute : Attribute { public TooltipAttribute(string text) { } }
    public class Object { public string name; public static void Destroy(Object thing) { } }
    public class Component : Object { public Transform transform; public GameObject gameObject; }
    public class Behaviour : Component { }
    public class MonoBehaviour : Behaviour { }
    public class Collider : Component { }
    public class Material : Object { }
    public class Renderer : Component { public Material sharedMaterial; }
    public class LineRenderer : Renderer
    {
        public int positionCount;
        public float startWidth, endWidth;
        public void SetPosition(int index, Vector3 position) { }
    }
    public class Transform : Component
    {
        public Vector3 localPosition, position, localScale;
        public Quaternion localRotation;
        public void SetParent(Transform parent, bool worldPositionStays) { }
    }
    public enum PrimitiveType { Sphere }
    public class GameObject : Object
    {
        public Transform transform;
        public static GameObject CreatePrimitive(PrimitiveType type) { return null; }
        public T GetComponent<T>() { return default(T); }
        public T AddComponent<T>() where T : Component { return default(T); }
        public void SetActive(bool value) { }
    }
    public struct Vector3
    {
        public static Vector3 one { get { return new Vector3(1, 1, 1); } }
        public Vector3(float x, float y, float z) { }
        public static Vector3 operator *(Vector3 a, float b) { return a; }
    }
    public struct Quaternion { public Quaternion(float x, float y, float z, float w) { } }
}

namespace UnityEngine.Events
{
    public class UnityEvent<T> { public void Invoke(T value) { } }
}
