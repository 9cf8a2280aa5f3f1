import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import jdk.jshell.DeclarationSnippet;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;
import jdk.jshell.VarSnippet;

/**
 * Runs Java cells, one after another, for belljar-interp: requests come as lines of JSON on
 * descriptor 3, answers go to 4, a byte on 5 interrupts. What a cell prints is written to 1 and 2.
 * Cells run in this process, by the JDK's own JShell.
 */
public final class Kernel {
    private static final List<String> IMPORTS = List.of(
            "java.io.*", "java.math.*", "java.net.*", "java.nio.file.*", "java.util.*",
            "java.util.concurrent.*", "java.util.function.*", "java.util.prefs.*",
            "java.util.regex.*", "java.util.stream.*");

    private final JShell shell = JShell.builder().executionEngine("local").build();
    private final PrintStream replies;
    private volatile boolean isBusy;

    private Kernel(PrintStream replies) {
        this.replies = replies;
        for (String name : IMPORTS)
            shell.eval("import " + name + ";");
    }

    public static void main(String[] args) throws Exception {
        // an interrupt of the process group is for what the cell has started
        sun.misc.Signal.handle(new sun.misc.Signal("INT"), signal -> { });
        Kernel kernel = new Kernel(new PrintStream(new FileOutputStream("/dev/fd/4"), true, StandardCharsets.UTF_8));
        Thread watcher = new Thread(kernel::watch, "interrupts");
        watcher.setDaemon(true);
        watcher.start();
        kernel.replies.println("{\"type\":\"ready\"}");
        BufferedReader in = new BufferedReader(
                new InputStreamReader(new FileInputStream("/dev/fd/3"), StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine())
            kernel.serve(line);
        System.exit(0);
    }

    private void watch() {
        try (InputStream bytes = new FileInputStream("/dev/fd/5")) {
            while (bytes.read() >= 0)
                if (isBusy)
                    shell.stop();
        } catch (java.io.IOException e) {
            // the server is gone, and this process ends with it
        }
    }

    private void serve(String line) {
        Json request = new Json(line);
        if (request.text("op").equals("run"))
            run(request.text("code"));
        else
            request.environment();
        System.out.flush();
        System.err.flush();
        replies.println("{\"type\":\"done\"}");
    }

    // -- cells --

    private void run(String rest) {
        SourceCodeAnalysis analysis = shell.sourceCodeAnalysis();
        isBusy = true;
        try {
            List<DeclarationSnippet> open = new ArrayList<>();
            while (!rest.isBlank()) {
                CompletionInfo info = analysis.analyzeCompletion(rest);
                String source = info.source() != null ? info.source() : rest;
                rest = info.source() != null ? info.remaining() : "";
                if (!evaluate(source, rest.isBlank(), open))
                    return;
            }
            complain(open);
        } finally {
            isBusy = false;
        }
    }

    /** Classes may name others that come later in the cell; what is missing at its end is an error. */
    private void complain(List<DeclarationSnippet> open) {
        for (DeclarationSnippet d : open)
            if (shell.status(d) == Snippet.Status.RECOVERABLE_NOT_DEFINED) {
                String why = "cannot find symbol: " + String.join(", ", shell.unresolvedDependencies(d).toList());
                fail("CompilationException", why, why + "\n" + d.source().strip());
                return;
            }
    }

    /** False: it failed, and what follows is not run. */
    private boolean evaluate(String source, boolean isLast, List<DeclarationSnippet> open) {
        for (SnippetEvent event : shell.eval(source)) {
            Snippet snippet = event.snippet();
            if (event.status() == Snippet.Status.REJECTED) {
                StringBuilder why = new StringBuilder();
                shell.diagnostics(snippet).forEach(d -> why.append(d.getMessage(null)).append('\n'));
                fail("CompilationException", why.toString().strip(), why + source.strip());
                return false;
            }
            if (event.status() == Snippet.Status.RECOVERABLE_NOT_DEFINED && snippet instanceof DeclarationSnippet d) {
                open.add(d);
                continue;
            }
            if (event.exception() != null) {
                fail(event.exception());
                return false;
            }
            if (event.causeSnippet() == null && isLast && shows(snippet) && event.value() != null)
                result(event.value());
        }
        return true;
    }

    /** An expression has a result, a declaration has not. */
    private static boolean shows(Snippet snippet) {
        return snippet.kind() == Snippet.Kind.EXPRESSION
                || snippet instanceof VarSnippet v && v.subKind() == Snippet.SubKind.TEMP_VAR_EXPRESSION_SUBKIND;
    }

    private void result(String value) {
        replies.println("{\"type\":\"result\",\"main\":true,\"data\":{\"text/plain\":" + Json.quote(value) + "}}");
    }

    private void fail(JShellException e) {
        if (e instanceof EvalException thrown) {
            StringBuilder trace = new StringBuilder(thrown.getExceptionClassName());
            if (thrown.getMessage() != null)
                trace.append(": ").append(thrown.getMessage());
            for (StackTraceElement frame : thrown.getStackTrace())
                trace.append("\n\tat ").append(frame);
            String name = thrown.getExceptionClassName();
            fail(name, thrown.getMessage() == null ? "" : thrown.getMessage(), trace.toString());
        } else {
            fail(e.getClass().getName(), String.valueOf(e.getMessage()), e.toString());
        }
    }

    private void fail(String name, String value, String traceback) {
        replies.println("{\"type\":\"error\",\"name\":" + Json.quote(name) + ",\"value\":" + Json.quote(value)
                + ",\"traceback\":" + Json.quote(traceback) + "}");
    }
}
