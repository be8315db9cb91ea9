import com.pixelmed.validate.DicomSRValidator;

/** PixelMed's validator for several documents: it compiles its templates once, which takes seconds. */
public class Validator {
  public static void main(String[] paths) throws Exception {
    DicomSRValidator validator = new DicomSRValidator();
    for (String path : paths) System.out.println("document " + path + "\n" + validator.validate(path));
  }
}
