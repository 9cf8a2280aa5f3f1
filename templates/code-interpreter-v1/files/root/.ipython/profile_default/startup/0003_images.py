# Pictures of Pillow (spec/code-interpreter.md 9): show() becomes a result, and what is saved is shown as well. Done
# when a cell imports PIL, not before.
def _belljar_images():
    import importlib.abc
    import importlib.machinery
    import sys

    def change(module):
        plain_save = module.Image.save

        def save(self, fp, *args, **kwargs):
            result = plain_save(self, fp, *args, **kwargs)
            if isinstance(fp, str):
                from IPython.display import display

                display(self)
            return result

        def show(self, *args, **kwargs):
            from IPython.display import display

            display(self)

        module.Image.save = save
        module.Image.show = show

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "PIL.Image":
                return None
            sys.meta_path.remove(self)
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if spec is None or spec.loader is None:
                return spec
            plain_exec = spec.loader.exec_module

            def exec_module(module):
                plain_exec(module)
                change(module)

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Finder())


_belljar_images()
del _belljar_images
