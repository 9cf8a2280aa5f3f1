import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** As much of JSON as requests to a kernel are made of: objects, arrays and strings. */
final class Json {
    private final String text;
    private int at;
    private final Map<?, ?> root;

    Json(String text) {
        this.text = text;
        root = (Map<?, ?>) value();
    }

    String text(String key) {
        Object found = root.get(key);
        return found instanceof String s ? s : "";
    }

    /** Environment variables of a Java cell are system properties: a process cannot change its own. */
    void environment() {
        if (root.get("set") instanceof Map<?, ?> set)
            set.forEach((name, value) -> {
                if (!((String) name).isEmpty())
                    System.setProperty((String) name, (String) value);
            });
        if (root.get("unset") instanceof List<?> unset)
            unset.forEach(name -> System.clearProperty((String) name));
    }

    private Object value() {
        return switch (text.charAt(at)) {
            case '{' -> object();
            case '[' -> array();
            case '"' -> string();
            default -> word();
        };
    }

    private Map<String, Object> object() {
        Map<String, Object> all = new LinkedHashMap<>();
        for (at++; text.charAt(at) != '}'; ) {
            if (text.charAt(at) == ',')
                at++;
            String key = string();
            at++; // the colon
            all.put(key, value());
        }
        at++;
        return all;
    }

    private List<Object> array() {
        List<Object> all = new ArrayList<>();
        for (at++; text.charAt(at) != ']'; ) {
            if (text.charAt(at) == ',')
                at++;
            all.add(value());
        }
        at++;
        return all;
    }

    private String string() {
        StringBuilder out = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c == '\\') {
                c = text.charAt(++at);
                int plain = "bfnrt".indexOf(c);
                if (c == 'u') {
                    c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                    at += 4;
                } else if (plain >= 0) {
                    c = "\b\f\n\r\t".charAt(plain);
                }
            }
            out.append(c);
        }
        at++;
        return out.toString();
    }

    private Object word() {
        while (at < text.length() && ",}]".indexOf(text.charAt(at)) < 0)
            at++;
        return null;
    }

    static String quote(String s) {
        StringBuilder out = new StringBuilder("\"");
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            // half a surrogate pair is no Unicode, and the reader would refuse all of the line
            boolean isPaired = Character.isHighSurrogate(c) && i + 1 < s.length() && Character.isLowSurrogate(s.charAt(i + 1))
                    || Character.isLowSurrogate(c) && i > 0 && Character.isHighSurrogate(s.charAt(i - 1));
            if (Character.isSurrogate(c) && !isPaired)
                c = '\ufffd';
            if (c == '"' || c == '\\')
                out.append('\\').append(c);
            else if (c < 0x20 || c >= 0x7f)
                out.append(String.format("\\u%04x", (int) c));
            else
                out.append(c);
        }
        return out.append('"').toString();
    }
}
